"""Gives the words that inputs are made of, so that the search need not guess them letter by letter.

They are taken from the tables of fields and a few grammars.
"""

from collections.abc import Iterator

from app.providers.thinksurance.fields import CUSTOMER_NAMES, FILE, INQUIRY_NAMES, ITEM_NAMES, REFERENCE
from app.providers.thinksurance.recipes import ALGORITHMS, ENCODINGS, PARTS
from app.providers.wegroup.fields import LEAD_NAMES, PARTY_NAMES
from app.providers.wegroup.shapes import ENVELOPE_NAMES, EVENT_NAMES, EXPLICIT_IDS
from app.query.fields import Op
from app.query.routes import RESOURCES
from tests.fuzz.of_connections import TOKEN

_JSON = ("\\u0000", "\\ud800", "\\udc00", "null", "true", "1e999", "18446744073709551616", "-0", "NaN", "[[[[", "]]]]")
_FORMS = ("%7B%22", "%22%3A", "data[iId]=", "a[b][]=", "&", "+", "%00", "%ff")
_HTTP = (
    *("\r\n", "\r\n\r\n", "transfer-encoding: chunked\r\n", "content-length: 0\r\n", "connection: close\r\n"),
    *("expect: 100-continue\r\n", "upgrade: h2c\r\n", "connection: upgrade\r\n", "HEAD ", "OPTIONS ", "PUT ", "GET / "),
    *(
        "content-encoding: gzip\r\n",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        "/callbacks/wegroup/",
        "5\r\n{}   \r\n",
        "0\r\n\r\n",
    ),
)
_VALUES = (
    *("2026-03-29", "2026-03-29T02:30:00+01:00", "0000-00-00", "31.12.9999", "0001-01-01", "9999-12-31", "1.234,56"),
    *("1,234", "\u20ac", "-7d", "-24h", "+2w", "Europe/Berlin", "gzip", "deflate", "fe80::1%", "::ffff:", "10.0.0.1, "),
    *("bucket=", "group_by=", "by=", "tz=", "limit=", "cursor=", "order=asc", "hour", "month", "0000-00-00 00:00:00"),
)


def words() -> Iterator[str]:
    """Yield all of them."""
    yield from (*_JSON, *_FORMS, *_HTTP, *_VALUES, TOKEN, "cbx_" + "a" * 43)
    yield from (f'"{name}":' for name in _names())
    yield from (f'"{name}"' for name in (*ALGORITHMS, *ENCODINGS, *PARTS))
    yield from (f"[{op}]=" for op in Op)
    yield from {f"&{name}=" for resource in RESOURCES for name in resource.fields}


def _names() -> Iterator[str]:
    yield from sorted(ITEM_NAMES | INQUIRY_NAMES | CUSTOMER_NAMES | LEAD_NAMES | PARTY_NAMES)
    yield from (*ENVELOPE_NAMES, *EVENT_NAMES, *EXPLICIT_IDS, "files", "docToken", "expired", "coverages", "cars")
    yield from (path for row in (*FILE, *REFERENCE) for path in row.paths)
