"""Small apps to copy from; the tests run each."""
