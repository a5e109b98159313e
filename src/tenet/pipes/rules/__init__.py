"""Decisions of the pipes service: no I/O, no clock, no randomness."""
