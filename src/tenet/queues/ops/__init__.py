"""The operations of the queues service: a file per operation or family; the only code that awaits the store."""
