"""The queue: the `jobs` table is what the worker threads take from. See `doce.queue.model` for its rules."""
