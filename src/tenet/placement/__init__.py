"""Placement: the OpenStack Placement API over the store."""
