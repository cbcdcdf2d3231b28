"""Stores elsewhere: at any fsspec URL, behind a local folder, and the way between two."""
