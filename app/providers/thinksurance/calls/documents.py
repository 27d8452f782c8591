"""Brings a file from Thinksurance: by its hash or by its link, taken out of whatever it was wrapped in.

Where it is kept, and which way is tried when, is the documents room's.
"""

import re
from collections.abc import Callable
from functools import partial

import httpx2

from app.providers.calling import Caller
from app.providers.checking import FieldProblem, InvalidRequestError
from app.providers.downloading import MAX_REDIRECTS, Arriving, download
from app.providers.thinksurance.calls import answers
from app.providers.thinksurance.calls.unwrapping import Unwrapping

DOCUMENT = "thinksurance.document"
DOCUMENT_LINK = "thinksurance.document-link"

OWN_HOSTS = tuple(
    f"{name}.{zone}" for zone in ("thinksurance.de", "dev.thinksurance.de") for name in ("ipn", "rest", "app")
)
"""The hosts in the pages' examples; links are seen to lead to them."""

_DOCUMENT_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.~-]{0,199}")


def check_document_id(document_id: str) -> None:
    """Raise InvalidRequestError where an id cannot be put into a path."""
    if not _DOCUMENT_ID.fullmatch(document_id):
        problem = FieldProblem(("documentId",), "not-an-id", "is no hash of a file")
        raise InvalidRequestError(DOCUMENT, [problem])


async def unwrap(call: str, write: Callable[[bytes], None], arriving: Arriving, *, by_link: bool = False) -> None:
    """Give `write` the file in an answer, as it arrives; what was written before an error is no file."""
    unwrapping = Unwrapping(call, by_link=by_link)
    async for chunk in arriving.chunks:
        if found := unwrapping.feed(chunk):
            write(found)
    if found := unwrapping.finish():
        write(found)


async def download_link(link: httpx2.URL, write: Callable[[bytes], None], transport: httpx2.AsyncBaseTransport) -> None:
    """Give `write` the file that a link leads to. `transport` refuses what must not be asked, redirects included.

    The link goes alone: no credentials of ours are sent with it.
    """
    async with Caller(str(link.copy_with(raw_path=b"/")), transport=transport) as caller:
        taking = partial(unwrap, DOCUMENT_LINK, write, by_link=True)
        await answers.heard(download(caller, DOCUMENT_LINK, "GET", str(link), taking, redirects=MAX_REDIRECTS))
