"""One module a change of the tables; see `doce.db.migration`."""
