"""Tenet: the data foundation of a cloud that you own."""
