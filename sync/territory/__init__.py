"""Whose account it is, and where its work is routed."""
