"""Pure analysis: periods, expressions and the questions asked of them.

Nothing in this package knows Flask, Redis or the clock.  An analysis is a
function that takes a frozen query and something that yields bitmaps, and
returns a frozen result.
"""
