"""Holds what connections to the platforms are verified with: read once, for that takes longer than to connect."""

import ssl
from functools import lru_cache

import httpx2


@lru_cache
def tls() -> ssl.SSLContext:
    """Return the authorities that are believed, the same for all connections of the process."""
    return httpx2.create_ssl_context()
