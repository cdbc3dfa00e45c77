"""Who belongs to whom: dated edges to one tree of parents and systems."""
