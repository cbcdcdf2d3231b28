"""Thin functions that load, call the mathematics and return plain data."""
