"""Models: the gateway that agents talk to, the providers behind it, what was used."""
