"""Judges what generative models answer: numbers, choices, exact texts and programs. Knows no model and no data set."""
