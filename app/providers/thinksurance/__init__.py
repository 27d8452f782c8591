"""Thinksurance, German broker platform: IP notifications signed per item, and thin notifications of its V2.

`find` and `read` fill the contract of `app.ingest.contract.Provider`; keeping and projecting is done elsewhere.
"""

from app.providers.thinksurance.finding import find
from app.providers.thinksurance.reading import read

__all__ = ["find", "name", "read"]

name: str = "thinksurance"
