"""What each operation of the pipes service does, and what runs a pipe; the only code here that awaits the store."""
