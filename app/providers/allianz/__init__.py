"""Allianz Spain, Leads Contract API: Callbox passes leads on to it; it calls nobody, so nothing is received from it.

`client` calls it, `leads` makes a lead of ours into a request; what becomes of an answer is the submissions room's.
"""

__all__ = ["name"]

name: str = "allianz"
