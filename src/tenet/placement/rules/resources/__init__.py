"""Resource classes as objects: what a thing is, in its own units, and what the OpenStack API sees of it."""
