"""The read model: which providers there are and what is free in them, in memory, and the search in it."""
