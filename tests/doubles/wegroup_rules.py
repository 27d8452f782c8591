"""What the double of WeGroup refuses, and in which form: targets begin below `prospect`, texts quote what was sent.

What it answers otherwise is `wegroup`'s. The rules are those of the page's examples of errors.
"""

import re
from collections.abc import Iterator
from typing import Any

from starlette.responses import JSONResponse, Response

Json = dict[str, Any]
Wrong = tuple[str, str]

_BELGIAN_ZIPCODE = re.compile(r"[1-9][0-9]{3}")
FORMS = ("object", "framework", "text", "without-errors")


def find_wrong(kind: str, body: Any) -> list[Wrong]:
    """Return target and text of everything that is wrong with a lead."""
    if not isinstance(body, dict) or not isinstance(body.get("prospect"), dict):
        return [("prospect", "Error for 'prospect'. This value is missing")]
    return [*_wrong_with_party(kind, body["prospect"]), *_wrong_links(body["prospect"])]


def refusal(wrong: list[Wrong], form: str, sent: Any) -> Response:
    """Return the answer to a wrong lead, in one of the forms; each of them quotes a value, as pydantic's text can."""
    said = f"{len(wrong)} validation errors for lead with input {str(sent)[:200]}"
    if form == "text":
        return JSONResponse({"detail": said}, 400)
    if form == "framework":
        found = [{"loc": ["body", *target.split(".")], "msg": text, "type": "value_error"} for target, text in wrong]
        return JSONResponse({"detail": found}, 422)
    errors = [{"type": "ValidationError", "target": target, "message": text} for target, text in wrong]
    if form == "without-errors":
        return JSONResponse({"detail": {"type": None, "errors": [], "error_str": said}}, 400)
    return JSONResponse({"detail": {"type": "ValidationError", "errors": errors, "error_str": said}}, 422)


def _wrong_with_party(kind: str, party: Json) -> Iterator[Wrong]:
    if kind == "companies" and not party.get("name"):
        yield "name", "Error for 'name'. This value is missing"
    for place, residence in enumerate(party.get("risk_objects", {}).get("residences", [])):
        yield from _wrong_with_address(f"risk_objects.residences.{place}.address", residence.get("address", {}))
    yield from _wrong_with_address("address", party.get("address", {}))


def _wrong_with_address(target: str, address: Json) -> Iterator[Wrong]:
    zipcode = address.get("zipcode")
    if zipcode is not None and not _BELGIAN_ZIPCODE.fullmatch(zipcode):
        yield f"{target}.zipcode", f"Error for 'zipcode'. The specified value is invalid. ({zipcode})"
    for name in ("housenr", "city"):
        if address.get(name) == "":
            yield f"{target}.{name}", f"Error for '{name}'. The specified value does not meet the minimum length. (1)"


def _wrong_links(party: Json) -> Iterator[Wrong]:
    packages = {one.get("id") for one in party.get("policy_packages", [])}
    objects = {one.get("id") for members in party.get("risk_objects", {}).values() for one in members}
    for place, policy in enumerate(party.get("insurance_policies", [])):
        target = f"insurance_policies.{place}"
        if policy.get("policy_package_id", next(iter(packages), None)) not in packages | {None}:
            yield f"{target}.policy_package_id", "Error for 'policy_package_id'. Unknown."
        for index, coverage in enumerate(policy.get("coverages", [])):
            if coverage.get("risk_object_id") not in objects | {None}:
                yield f"{target}.coverages.{index}.risk_object_id", "Error for 'risk_object_id'. Unknown."
