"""The embedded engine: one SQLite file, one writer with group commit, reads that never wait for it."""
