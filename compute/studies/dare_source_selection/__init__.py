"""DARE and source selection in cross-lingual merging."""
