"""Weights as they lie in files and in memory, read and written piece by piece. Loads no torch; knows no merging."""
