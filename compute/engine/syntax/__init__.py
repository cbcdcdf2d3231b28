"""Reads the project's source, without importing it: definitions, what they refer to, what they reach."""
