"""Which lane a change takes, and what its outcome means."""
