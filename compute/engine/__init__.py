"""Runs cells: knows keys, plans, results and records; nothing of models, languages or pages."""
