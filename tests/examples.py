"""How many examples the costly property tests try."""

import os


def examples(few: int) -> int:
    """Return how many: `few` in the suite, fifty times as many with `HYPOTHESIS_PROFILE=long`."""
    return few * 50 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else few
