"""Holds by what the double of Thinksurance refuses, and where its settings let it answer otherwise.

Written from the pages, not from the client, so that each checks the other.
"""

from dataclasses import dataclass
from typing import Any

_INSURER_IDS = ("baFinId", "insurerId", "supervisingAuthorityId")


@dataclass
class Settings:
    """How the double answers where pages and examples differ.

    `error_status`: 200 in the examples, 400 by the newsletter of 2025 (404 for broker tokens). `pull_form`: of a search
    (`dictionary`, `list`), `empty_form`: of one without results. `statuses_as_list`: agency numbers by text or example.
    `callback_first`: the first callback goes out before the forward's answer. `drop_callbacks`: so many of the next
    callbacks never go out.

    `document_form`: `base64`, `lines` (base64 in lines), `json` (`pdfbinary`), `quoted` or `bytes`; `page` (to log in,
    with status 200), `words`, `truncated`, `part` or `endless`. `document_ways`: those that answer. `document_seconds`:
    how long a token is good; None is a week. `link_token`: the parameter in which a link wants it, `in-link` if it has
    it already, `none` if it wants none. `docs_form`: `object`, `list`, `numbered` (files by number), `text-token`.
    """

    error_status: int = 200
    pull_form: str = "dictionary"
    empty_form: str = "object"
    statuses_as_list: bool = False
    tokens_as_list: bool = False
    document_form: str = "base64"
    document_ways: str = "v1.1,v1,link"
    document_seconds: float | None = None
    link_token: str = "in-link"
    docs_form: str = "object"
    callback_first: bool = False
    drop_callbacks: int = 0
    account_tokens_by_post: bool = False


class RefusalError(Exception):
    """The double says no."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


def check_forward(body: Any) -> None:
    """Refuse a forward that lacks what its page requires."""
    check_known(body, ("type", "bExternalId"))
    for switch, url in (("fullCallback", "callbackUrl"), ("mvpFullCallback", "mvpCallbackUrl")):
        if body.get(switch) == 0 and not body.get(url):
            raise RefusalError(f"{url} is required.")
    for name in ("bEmail", "cEmail"):
        if any(sign in body.get(name, "") for sign in " ;"):
            raise RefusalError(f"{name} is not valid.")
    if body.get("instantInquiryCreation") == "True":
        check_known(body, ("cExternalId", "productId", "professionId"))
        if body["type"] != 1:
            raise RefusalError("instantInquiryCreation is not available.")


def check_broker(body: Any) -> None:
    """Refuse a broker that lacks what Create Broker and Get Broker Token require."""
    check_known(body, ("type", "bExternalId", "bEmail"))
    if not body.get("bLastName") and not body.get("bCompany"):
        raise RefusalError("bLastName or bCompany is required.")


def checked_agency_numbers(body: Any) -> list[dict[str, Any]]:
    """Return the agency numbers of all sets, or refuse."""
    check_known(body, ("agencyNumberSets",))
    numbers = []
    for one in body["agencyNumberSets"]:
        if sum(bool(one.get(name)) for name in _INSURER_IDS) != 1:
            raise RefusalError("One of baFinId, insurerId, supervisingAuthorityId is required.")
        for number in one["agencyNumbers"]:
            check_known(number, ("agencyNumber", "defaultForTenders", "defaultForCalculations", "active"))
            numbers.append(number)
    return numbers


def check_known(body: Any, names: tuple[str, ...]) -> None:
    """Refuse what lacks one of the names."""
    for name in names:
        if not isinstance(body, dict) or body.get(name) in (None, "", []):
            raise RefusalError(f"{name} is required.")
