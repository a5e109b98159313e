"""Tenet nodes that know each other: identity, channels, membership, leases, hints."""
