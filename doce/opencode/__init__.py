"""The coding agent: client, stream, and the pure functions that turn what it says into doce's events."""
