"""What every room stands on: errors, clock, ids, limits, the key codec and settings types. No I/O."""
