"""Runs the command line: `python -m app`. All else is `app.cli`'s."""

from app.cli.program import main

main()
