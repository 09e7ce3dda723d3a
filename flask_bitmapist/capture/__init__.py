"""The write path: from a view to Redis."""
