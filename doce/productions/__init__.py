"""Deployments: immutable releases, what serves them, and the switch between them."""
