"""The store: one contract for all state, its engines, and what is built on the contract alone."""
