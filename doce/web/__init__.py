"""doce over HTTP: routes made from the actions, and streams."""
