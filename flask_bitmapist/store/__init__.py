"""Redis: connections, the event catalogue, and the reading of bitmaps."""
