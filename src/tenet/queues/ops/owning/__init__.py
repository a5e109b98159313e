"""Queues in the hands of their owner: what is held in memory of them, and how it is written."""
