"""The published contract suite: the specification of a store engine as tests that anyone can run."""
