"""Projects: what a person asked for, its workspace, and the prompts of its agent."""
