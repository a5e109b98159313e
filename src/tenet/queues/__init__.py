"""The queues room: the SQS API on the store."""
