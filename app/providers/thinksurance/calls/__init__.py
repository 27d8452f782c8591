"""Calls Thinksurance by its API V1.1: tokens, broker forward, agency numbers, brokers, catalogues, pulls, documents.

What comes of a call, and its match with the callbacks that follow, is the submissions room's.
"""

from app.providers.thinksurance.calls.client import DEFAULT_BASE_URL, ThinksuranceClient, client_for

__all__ = ["DEFAULT_BASE_URL", "ThinksuranceClient", "client_for"]
