"""What doce keeps of chats: what was said, threads, what was posted in them, channels, installations."""
