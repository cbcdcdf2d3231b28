"""Data sets, batched inference, metrics and statistics; knows nothing of merging or cells."""
