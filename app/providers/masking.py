"""Makes the copy of an item or an answer that may be shown: credentials and callback tokens of ours overwritten.

Who may see the rest is the query room's business.
"""

import base64
import binascii
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus

from app.crypto import mask_tokens

MASK = "***"

_NO_TEXT = frozenset({int, float, bool, type(None)})
_LEAST_SECRET = 6
"""Characters of what is overwritten wherever it stands: what is shorter stands in ordinary words, too."""
_OPEN_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
        "user-agent",
    }
)
_ENCODED = re.compile("%[0-9A-F]{2}")


def plain_names(names: Iterable[str], credentials: Collection[str], holders: Collection[str] = ()) -> frozenset[str]:
    """Return those of the names that are neither of credentials nor of what may hold one."""
    return frozenset(name for name in names if name.lower() not in credentials and name.lower() not in holders)


def mask_item(
    value: Any, credentials: Collection[str], holders: Collection[str] = (), plain: frozenset[str] = frozenset()
) -> Any:
    """Return `value` with the members called `credentials` (in lower case) overwritten.

    `holders` are names that may stand for a credential or for an object with one inside; of an object only that is
    overwritten. What is null or empty stays, so that one sees that there was none. `plain` are names that are
    certainly neither, as written, and so need no closer look (see `plain_names`). `value` is not changed; what in it
    needs no mask is not copied but shared with the result.
    """
    names = _Names(credentials, holders, plain)
    if isinstance(value, str):
        return mask_tokens(value) if "cb" in value else value
    if isinstance(value, list):
        return _mask_list(value, names)
    return _mask_object(value, names) if isinstance(value, dict) else value


class _Names(NamedTuple):
    credentials: Collection[str]
    holders: Collection[str]
    plain: frozenset[str]

    def hide(self, name: str, child: Any) -> bool:
        folded = name.lower()
        is_named = folded in self.credentials or (folded in self.holders and not isinstance(child, dict))
        return is_named and child is not None and child not in ("", [], {})


def _mask_object(value: dict[str, Any], names: _Names) -> dict[str, Any]:
    plain = names.plain
    shown = value
    for name, child in value.items():
        kind = child.__class__
        if name in plain and ("cb" not in child if kind is str else kind in _NO_TEXT):
            continue  # most are so: a call for each would cost more than all the rest
        masked = child
        if name not in plain and names.hide(name, child):
            masked = MASK
        elif isinstance(child, str):
            masked = mask_tokens(child)
        elif isinstance(child, dict):
            masked = _mask_object(child, names)
        elif isinstance(child, list):
            masked = _mask_list(child, names)
        if masked is not child:
            if shown is value:
                shown = {**value}
            shown[name] = masked
    if not plain.issuperset(shown) and "cb" in "".join(shown):
        return {mask_tokens(name): child for name, child in shown.items()}
    return shown


def _mask_list(value: list[Any], names: _Names) -> list[Any]:
    shown = value
    for index, child in enumerate(value):
        masked = child
        if isinstance(child, str):
            masked = mask_tokens(child)
        elif isinstance(child, dict):
            masked = _mask_object(child, names)
        elif isinstance(child, list):
            masked = _mask_list(child, names)
        if masked is not child:
            if shown is value:
                shown = [*value]
            shown[index] = masked
    return shown


def secrets_in(headers: Mapping[str, str]) -> frozenset[str]:
    """Return the secrets that a request carries in its headers: whatever is not named for how it is to be read."""
    return frozenset(
        secret for name, value in headers.items() if name.lower() not in _OPEN_HEADERS for secret in _secrets_of(value)
    )


def _secrets_of(value: str) -> Iterator[str]:
    """Yield a header's value, what stands after its scheme, and the password that this may be (RFC 7617)."""
    scheme, _, rest = value.partition(" ")
    yield from (value, rest)
    if scheme.lower() == "basic":
        try:
            yield base64.b64decode(rest).decode().partition(":")[2]
        except (binascii.Error, ValueError):
            return


def mask_secrets(value: Any, secrets: Iterable[str]) -> Any:
    """Return `value` with secrets overwritten wherever they stand in it, as they are or percent-encoded."""
    forms = {form for secret in secrets if len(secret) >= _LEAST_SECRET for form in _forms(secret)}
    return _without(value, sorted(forms, key=len, reverse=True)) if forms else value


def _forms(secret: str) -> Iterator[str]:
    plain = secret.encode(errors="replace")
    for form in (secret, quote(plain), quote(plain, safe=""), quote_plus(plain)):
        yield form
        yield _ENCODED.sub(lambda found: found[0].lower(), form)


def _without(value: Any, forms: Collection[str]) -> Any:
    if isinstance(value, str):
        for form in forms:
            value = value.replace(form, MASK)
        return value
    if isinstance(value, list):
        return [_without(child, forms) for child in value]
    if isinstance(value, dict):
        return {_without(name, forms): _without(child, forms) for name, child in value.items()}
    return value
