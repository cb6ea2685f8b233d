"""What each job type does. A handler looks, acts, records, and is safe to run twice.

No handler runs long: what takes time is started here and looked at again by `reschedule`.
"""
