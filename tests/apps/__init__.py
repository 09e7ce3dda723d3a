"""Apps in the shape of well-known ones, and their own tests.

A line that ends in ``# bitmapist`` marks them; without those lines they are as
they were.  What a line was before stands behind it: ``# bitmapist, was: …``.
"""
