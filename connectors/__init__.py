"""Talk: one outside system each, in that system's words. Know nothing of tiers or plans."""
