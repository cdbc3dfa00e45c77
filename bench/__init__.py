"""Measures: generated worlds, the core by stage, and two peers beside it. Never timed inside the test suite."""
