"""How much of each expert: one file, one function, named as in a config."""
