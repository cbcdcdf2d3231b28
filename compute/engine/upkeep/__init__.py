"""Looks after what is stored: builds and their differences, accepting, verifying, collecting garbage."""
