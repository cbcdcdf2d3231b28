"""How experts combine: one file, one function, named as in a config."""
