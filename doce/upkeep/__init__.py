"""What runs by itself: the relay of what agents say, the reconciler of rows with what really runs."""
