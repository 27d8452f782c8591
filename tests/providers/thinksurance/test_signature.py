"""Who sent it: modes, reasons, several secrets, and the bytes as they were sent."""

import hashlib
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ingest.contract import Item, Mode, Reason, Secret, Source, Verdict
from app.providers import thinksurance
from app.providers.thinksurance.recipes import ALGORITHMS, DATA_PARTS, ENCODINGS, check_recipe
from app.providers.thinksurance.signature import Known, sign, sign_for

if TYPE_CHECKING:
    from tests.providers.conftest import Bench

ITEM: dict[str, Any] = {
    "data": {"bToken": "7c21", "bExternalId": "42", "iId": 2900418, "iUpdated": "2025-03-09", "status": 6, "n": 1.5}
}


def first(bench: "Bench", source: Source, body: bytes) -> Item:
    return thinksurance.find(body, "application/json", source, bench.now).items[0]


def signed(source: Source, bench: "Bench", item: dict[str, Any] = ITEM) -> bytes:
    return orjson.dumps({"sHash": sign_for(source, item, bench.now)} | item)


def forged() -> bytes:
    return orjson.dumps({"sHash": "0" * 32} | ITEM)


ACCEPTED = None


@pytest.mark.parametrize(
    ("mode", "proven", "sent", "verdict", "reason"),
    [
        (Mode.ENFORCE, False, "right", Verdict.VERIFIED, ACCEPTED),
        (Mode.ENFORCE, False, "wrong", Verdict.INVALID, Reason.SIGNATURE_UNPROVEN),
        (Mode.ENFORCE, False, "missing", Verdict.UNSIGNED, Reason.SIGNATURE_UNPROVEN),
        (Mode.ENFORCE, True, "right", Verdict.VERIFIED, ACCEPTED),
        (Mode.ENFORCE, True, "wrong", Verdict.INVALID, Reason.INVALID_SIGNATURE),
        (Mode.ENFORCE, True, "missing", Verdict.UNSIGNED, Reason.SIGNATURE_MISSING),
        (Mode.OBSERVE, False, "right", Verdict.VERIFIED, ACCEPTED),
        (Mode.OBSERVE, True, "wrong", Verdict.INVALID, ACCEPTED),
        (Mode.OBSERVE, True, "missing", Verdict.UNSIGNED, ACCEPTED),
        (Mode.OFF, True, "right", Verdict.UNCHECKED, ACCEPTED),
        (Mode.OFF, True, "wrong", Verdict.UNCHECKED, ACCEPTED),
        (Mode.OFF, True, "missing", Verdict.UNCHECKED, ACCEPTED),
    ],
)
def test_the_table_of_modes(
    mode: Mode, proven: bool, sent: str, verdict: Verdict, reason: Reason | None, bench: "Bench"
) -> None:
    source = bench.source(mode=mode, recipe_proven=proven)
    body = {"right": signed(source, bench), "wrong": forged(), "missing": orjson.dumps(ITEM)}[sent]
    item = first(bench, source, body)
    assert (item.verdict, item.reason) == (verdict, reason)


@pytest.mark.parametrize(
    ("mode", "verdict"),
    [(Mode.ENFORCE, Verdict.UNSIGNED), (Mode.OBSERVE, Verdict.UNSIGNED), (Mode.OFF, Verdict.UNCHECKED)],
)
def test_notifications_are_accepted_unsigned(mode: Mode, verdict: Verdict, bench: "Bench") -> None:
    source = bench.source(mode=mode, recipe_proven=True)
    item = first(bench, source, bench.sample("thinksurance", "notification-new.json"))
    assert (item.verdict, item.reason) == (verdict, None)


@pytest.mark.parametrize("blank", [None, "", "  ", [], {}])
def test_a_blank_signature_is_a_missing_one(blank: Any, bench: "Bench") -> None:
    source = bench.source(mode=Mode.ENFORCE, recipe_proven=True)
    assert first(bench, source, orjson.dumps({"sHash": blank} | ITEM)).reason is Reason.SIGNATURE_MISSING


@pytest.mark.parametrize("odd", [5, True, 1.5, ["x"], {"x": 1}, "ü", "\ud83d\ude00", "x" * 100_000])
def test_an_odd_signature_is_a_wrong_one(odd: Any, bench: "Bench") -> None:
    source = bench.source(mode=Mode.ENFORCE, recipe_proven=True)
    item = first(bench, source, json.dumps({"sHash": odd} | ITEM).encode())
    assert (item.verdict, item.reason) == (Verdict.INVALID, Reason.INVALID_SIGNATURE)


def test_upper_case_is_another_signature(bench: "Bench") -> None:
    source = bench.source(mode=Mode.ENFORCE)
    right = sign_for(source, ITEM, bench.now)
    assert right.upper() != right
    assert first(bench, source, orjson.dumps({"sHash": right.upper()} | ITEM)).verdict is Verdict.INVALID


@given(
    algorithm=st.sampled_from(ALGORITHMS),
    parts=st.lists(st.sampled_from([*DATA_PARTS, "data_raw", "hash", "aToken", "=Salz"]), max_size=4),
    separator=st.sampled_from(["", "|", "ü"]),
    encoding=st.sampled_from(ENCODINGS),
    truncate=st.none() | st.integers(16, 24),
    form=st.sampled_from(["item", "dictionary", "list", "indented"]),
)
def test_what_a_recipe_signs_it_verifies_and_no_other_secret_does(
    bench: "Bench", algorithm: str, parts: list[str], separator: str, encoding: str, truncate: int | None, form: str
) -> None:
    recipe: dict[str, Any] = {"algorithm": algorithm, "parts": [*parts, "secret"], "separator": separator}
    recipe |= {"encoding": encoding, "truncate": truncate}
    credentials = {"hash": ("Zugang", "alt"), "a_token": ("konto",)}
    source = bench.source(recipe=recipe, credentials=credentials)
    other = bench.source(recipe=recipe, credentials=credentials, secrets=("geheim-2",))
    item = {"sHash": sign_for(source, ITEM, bench.now)} | ITEM
    if form == "indented":
        data = json.dumps(ITEM["data"], indent=3).encode()
        known = Known("geheim-1", "Zugang", "konto")
        item["sHash"] = sign(
            check_recipe(recipe), ITEM, known, lambda name: b"%s" % (ITEM["data"][name] if name else data)
        )
        body = b'{"sHash": %s, "data": %s }' % (orjson.dumps(item["sHash"]), data)
    else:
        body = orjson.dumps({"item": item, "dictionary": {"7": {"data": {}}, "8": item}, "list": [5, item]}[form])
    found, foreign = (
        next(one for one in thinksurance.find(body, "", given, bench.now).items if one.subject == "inquiry/2900418")
        for given in (source, other)
    )
    assert found.verdict is Verdict.VERIFIED
    assert foreign.verdict is Verdict.INVALID


def test_rotation_several_secrets_and_one_that_was_revoked(bench: "Bench") -> None:
    now = bench.now

    def secret(name: str, revoked: timedelta | None) -> Secret:
        return Secret(name, now - timedelta(days=9), None if revoked is None else now + revoked)

    source = bench.source(
        secrets=(
            secret("good", None),
            secret("second", None),
            secret("revoked later", timedelta(hours=1)),
            secret("revoked just now", timedelta(seconds=-4)),
            secret("revoked before", timedelta(seconds=-5)),
            Secret("added later", now + timedelta(days=1)),
        )
    )
    verdicts = {
        one.value: first(bench, source, signed(bench.source(secrets=(one.value,)), bench)).verdict
        for one in source.secrets
    }
    assert verdicts.pop("revoked before") is Verdict.INVALID
    assert set(verdicts.values()) == {Verdict.VERIFIED}


def test_the_newest_live_secret_signs(bench: "Bench") -> None:
    now = bench.now
    source = bench.source(
        secrets=(
            Secret("old", now - timedelta(days=2)),
            Secret("new", now - timedelta(days=1)),
            Secret("gone", now, now - timedelta(hours=1)),
        )
    )
    assert sign_for(source, ITEM, now) == sign_for(bench.source(secrets=("new",)), ITEM, now)


def test_the_credential_stands_in_for_a_secret_only_if_there_is_none(bench: "Bench") -> None:
    credentials = {"secret": ("api-secret",)}
    without = bench.source(secrets=(), credentials=credentials)
    beside = bench.source(credentials=credentials)
    body = signed(bench.source(secrets=("api-secret",)), bench)
    assert first(bench, without, body).verdict is Verdict.VERIFIED
    assert first(bench, beside, body).verdict is Verdict.INVALID


def test_without_what_the_recipe_needs_nothing_fits(bench: "Bench") -> None:
    for source in (
        bench.source(secrets=()),
        bench.source(recipe={"parts": ["hash", "secret"]}),
        bench.source(recipe={"algorithm": "nonsense"}),
        bench.source(secrets=(Secret("x", bench.now, bench.now - timedelta(days=1)),)),
    ):
        for guess in (b"", b"7c212900418", b"2900418"):
            digest = hashlib.md5(guess).hexdigest()  # noqa: S324 - theirs
            assert first(bench, source, orjson.dumps({"sHash": digest} | ITEM)).verdict is Verdict.INVALID
        with pytest.raises(ValueError, match="recipe"):
            sign_for(source, ITEM, bench.now)


def digest(text: bytes) -> bytes:
    return hashlib.md5(text).hexdigest().encode()  # noqa: S324 - theirs


@pytest.mark.parametrize(
    ("number", "text"),
    [(b"2900417", b"2900417"), (b'"02900417"', b"02900417"), (b"2.9e6", b"2.9e6"), (b"2900417.0", b"2900417.0")],
)
def test_a_number_is_signed_as_it_was_written(number: bytes, text: bytes, bench: "Bench") -> None:
    body = b'{"data": {"iId": %s, "bToken": "t"}, "sHash": "%s"}' % (number, digest(b"t" + text + b"geheim-1"))
    assert first(bench, bench.source(), body).verdict is Verdict.VERIFIED
    listed = thinksurance.find(b"[1, %s]" % body, "", bench.source(), bench.now).items[1]
    assert listed.verdict is Verdict.VERIFIED


@pytest.mark.parametrize(
    "data",
    [
        b'{"iId":7, "x": "\\/ \\u00fc  "}',
        b'{ "iId" : 7 , "y": [ {"data": {"iId": 8}} ] }',
        b'{"iId":7,"x":"}\\""}',
        '{"iId":7,"x":"ü"}'.encode("latin-1"),
        b'{"iId":7,"x":"\\ud800"}',
        b'{"iId":7,"n":99999999999999999999999}',
        b'{"iId":6,"iId":7}',
        b'{"iId":7,"x":%b%b}' % (b"[" * 300, b"]" * 300),
        b'{"iId":7,"x":%b1%b}' % (b'{"y":' * 198, b"}" * 198),
    ],
)
def test_data_is_signed_by_the_bytes_as_sent(data: bytes, bench: "Bench") -> None:
    source = bench.source(recipe={"parts": ["data_raw", "secret"]})
    item = b'{"data" : %s , "sHash" : "%s"}' % (data, digest(data + b"geheim-1"))
    other = b'{"data": {"iId": 9}, "sHash": "x"}'
    for body in (item, b"[%s,%s]" % (item, other), b'{"a": %s, "b": %s}' % (item, other), b"\xef\xbb\xbf" + item):
        if not data.isascii() and body.startswith(b"\xef"):
            continue
        assert first(bench, source, body).verdict is Verdict.VERIFIED, body
    spoilt = item.replace(b'"iId"', b' "iId"', 1)
    assert first(bench, source, spoilt).verdict is Verdict.INVALID


def test_in_utf_16_the_text_is_signed_as_utf_8(bench: "Bench") -> None:
    source = bench.source(recipe={"parts": ["data_raw", "secret"]})
    data = '{"iId": 7, "x": "ü"}'
    body = f'{{"data": {data}, "sHash": "{digest(data.encode() + b"geheim-1").decode()}"}}'.encode("utf-16")
    assert first(bench, source, body).verdict is Verdict.VERIFIED


def test_form_fields_are_signed_by_their_text_and_have_no_data_raw(bench: "Bench") -> None:
    body = b"data[iId]=7&data[bToken]=t&sHash=" + digest(b"t7geheim-1")
    assert first(bench, bench.source(), body).verdict is Verdict.VERIFIED
    raw = bench.source(recipe={"parts": ["data_raw", "secret"]})
    assert first(bench, raw, b"data[iId]=7&sHash=" + digest(b"geheim-1")).verdict is Verdict.INVALID


def test_an_inquiry_named_only_by_its_key_is_signed_with_the_key(bench: "Bench") -> None:
    item = b'{"data": {"bToken": "t"}, "sHash": "%s"}'
    body = b'{"7": %s, "8": %s}' % (item % digest(b"t7geheim-1"), item % digest(b"tgeheim-1"))
    found = thinksurance.find(body, "", bench.source(), bench.now).items
    assert [(one.subject, one.verdict) for one in found] == [
        ("inquiry/7", Verdict.VERIFIED),
        ("inquiry/8", Verdict.INVALID),
    ]


def test_each_item_has_its_own_verdict(bench: "Bench") -> None:
    source = bench.source(mode=Mode.ENFORCE, recipe_proven=True)
    other = {"data": ITEM["data"] | {"iId": 9}}
    body = b"[%s, %s, %s]" % (signed(source, bench), forged(), orjson.dumps(other))
    assert [one.reason for one in thinksurance.find(body, "", source, bench.now).items] == [
        None,
        Reason.INVALID_SIGNATURE,
        Reason.SIGNATURE_MISSING,
    ]


def test_an_unusable_id_is_told_before_the_signature_and_keeps_the_verdict(bench: "Bench") -> None:
    source = bench.source(mode=Mode.ENFORCE, recipe_proven=True)
    item = {"data": {"bToken": "t", "iId": 0}}
    found = first(bench, source, signed(source, bench, item))
    assert (found.verdict, found.reason, found.subject) == (Verdict.VERIFIED, Reason.UNUSABLE_ID, None)
    found = first(bench, source, orjson.dumps({"sHash": "0"} | item))
    assert (found.verdict, found.reason) == (Verdict.INVALID, Reason.UNUSABLE_ID)


def test_a_changed_recipe_takes_effect(bench: "Bench") -> None:
    """The recipe is worked out once for a source; another reading of the source is worked out anew."""
    body = signed(bench.source(), bench)
    assert first(bench, bench.source(), body).verdict is Verdict.VERIFIED
    assert first(bench, bench.source(recipe={"algorithm": "sha1"}), body).verdict is Verdict.INVALID
    assert first(bench, bench.source(secrets=("other",)), body).verdict is Verdict.INVALID
    assert first(bench, bench.source(), body).verdict is Verdict.VERIFIED


@pytest.mark.parametrize(
    ("known", "mended"),
    [
        (rb'"\ufffd"', rb'"\u0000"'),
        (rb'"\ufffd"', rb'"\ud800"'),
        (rb'"\u00ff"', b'"\xff"'),
        ('"\U0001f600"'.encode(), '"\ud83d\ude00"'.encode(errors="surrogatepass")),
    ],
    ids=["nul", "surrogate", "latin-1", "halves"],
)
@pytest.mark.parametrize("first_is_forged", [False, True])
def test_no_item_is_judged_by_the_bytes_of_another(
    known: bytes, mended: bytes, *, first_is_forged: bool, bench: "Bench"
) -> None:
    """Two names that are mended to the same: whose bytes are whose cannot be said any more."""
    source = bench.source(mode=Mode.ENFORCE, recipe={"algorithm": "hmac-sha256", "parts": ["data_raw"]})
    right = orjson.loads(signed(source, bench))
    items = [orjson.dumps(right), orjson.dumps(right | {"data": right["data"] | {"iId": 7}})]
    names = [mended, known] if first_is_forged else [known, mended]
    found = first(bench, source, b"{%s:%s,%s:%s}" % (names[0], items[0], names[1], items[1]))
    assert (found.subject, found.verdict) == ("inquiry/7", Verdict.INVALID)


@pytest.mark.parametrize("number", [b"7.0", b"7e0", b"[7]"])
def test_a_part_whose_bytes_are_not_found_is_not_taken_for_empty(number: bytes, bench: "Bench") -> None:
    """Else what the token and the id of one inquiry sign together would sign any other, with all of it as its token."""
    source = bench.source(mode=Mode.ENFORCE)
    right = {"data": {"bToken": "7c21", "iId": 2900418}}
    forged = b'{"\\u0000":{"sHash":"%s","data":{"bToken":"7c212900418","iId":%s}}}'
    sent = forged % (sign_for(source, right, bench.now).encode(), number)
    assert first(bench, source, sent).verdict is Verdict.INVALID
