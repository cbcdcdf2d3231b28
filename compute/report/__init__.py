"""Turns results into pages, charts, tables and downloads; knows Study, not any study."""
