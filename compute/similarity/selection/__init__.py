"""Which sources to merge: one file, one function, named as in a config."""
