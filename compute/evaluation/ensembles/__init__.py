"""How the answers of several classifiers become one: one file, one function, named as in a config."""
