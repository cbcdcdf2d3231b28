"""Runs the command line: python -m compute."""

from compute.cli import main

main()
