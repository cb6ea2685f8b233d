"""Stand-ins that are part of the product: what tests of doce, and of things built on it, are made with."""
