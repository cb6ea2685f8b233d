"""doce in Slack: a slash command begins a project, its thread is the session, replies steer, buttons act.

Everything that people ask goes through the actions, everything that is shown comes from the event log; what is kept of Slack
itself is in `doce.chats`.
"""
