"""The distributed engine: the store contract over Apache Cassandra, by lightweight transactions."""
