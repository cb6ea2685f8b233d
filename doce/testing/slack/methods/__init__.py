"""The methods of the Web API; importing this declares them all."""

from doce.testing.slack.methods import agents, auth, chat, conversations, files, reactions, streams, users, views

__all__ = ["agents", "auth", "chat", "conversations", "files", "reactions", "streams", "users", "views"]
