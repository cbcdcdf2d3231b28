"""Merges outside any study: recipes in files, from model folders to model folders."""
