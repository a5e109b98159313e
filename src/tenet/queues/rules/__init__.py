"""Pure decisions of the queues service: no I/O, no clock, no randomness."""
