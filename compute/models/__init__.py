"""Resolves, builds, trains and loads base models and experts; knows nothing of cells."""
