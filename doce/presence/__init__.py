"""Who is watching: viewers by open stream, heartbeat and chat. A project nobody watches sleeps; it wakes when somebody comes back."""
