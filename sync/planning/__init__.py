"""What will change, why, and what stops it."""
