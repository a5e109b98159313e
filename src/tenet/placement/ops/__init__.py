"""The operations of the placement API: the only code that awaits the store."""
