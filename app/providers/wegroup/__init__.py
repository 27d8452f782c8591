"""WeGroup, Belgian broker platform: lead webhooks, unsigned and undocumented, read in every likely form.

`find` and `read` fill the contract of `app.ingest.contract.Provider`; keeping and projecting is done elsewhere.
"""

from app.providers.wegroup.finding import find
from app.providers.wegroup.reading import read

__all__ = ["find", "name", "read"]

name: str = "wegroup"
