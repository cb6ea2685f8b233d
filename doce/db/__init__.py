"""Where doce keeps its rows: connection, models, numbered migrations."""
