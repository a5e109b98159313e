"""Keeps the entries of global indexes from the log, on engines where commits over partitions are dear."""
