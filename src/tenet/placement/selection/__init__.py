"""Choosing among allocation candidates: filters, weighers, failure domains, gangs."""
