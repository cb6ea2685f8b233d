"""Pages for people with a browser: rendered here from what actions answer, kept live by a little plain JavaScript over the API."""
