"""Decides: pure functions from tables to tables. No I/O, clock, environment, logging, randomness."""
