"""One file per operation or family of operations; the only code of the room that awaits the store."""
