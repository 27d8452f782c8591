"""Runs the command line: `python -m app`. All else is `app.cli`'s."""

import sys

if sys.argv[1:2] == ["serve"] and not {"-h", "--help"} & set(sys.argv):
    from app.server import ahead

    ahead.end_at_signals()
    ahead.begin()

from app.cli.program import main

main()
