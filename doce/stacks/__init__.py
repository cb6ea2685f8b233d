"""What a project runs, and the protocol of what runs it."""
