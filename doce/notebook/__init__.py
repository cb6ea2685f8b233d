"""The notebook's door: a Python API, `%%doce` with a live panel, `%doce` with the words of every door."""
