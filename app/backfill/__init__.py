"""Fetches what pushes may have missed: asks the platform, and keeps its answers as deliveries like any other.

What becomes of them is the processor's business: an item that changes something is a gap, one that does not confirms.
"""

from app.backfill.searching import SEARCH
from app.backfill.wanted import PULL

__all__ = ["PULL", "SEARCH"]
