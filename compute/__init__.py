"""Recount: experiment configurations in, a living and reproducible report site out."""
