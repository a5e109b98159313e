"""Pure decisions of the placement service: no I/O, no clock."""
