"""Pure decisions of the tables service: no I/O, no clock, no randomness."""
