"""The platforms that call back, by name. Main and server hand them to receiver and processor.

A new platform is one folder and one word here. Allianz has a folder but no word: it calls nobody, Callbox only calls
it, so there is no callback URL of that name.
"""

from collections.abc import Mapping
from types import MappingProxyType

from app.ingest.contract import Provider
from app.providers import thinksurance, wegroup

__all__ = ["PROVIDERS"]

PROVIDERS: Mapping[str, Provider] = MappingProxyType({"thinksurance": thinksurance, "wegroup": wegroup})
