"""Events that ask for a new look at an account: what happened, whom it touches, by when, and who must agree."""
