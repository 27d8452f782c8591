"""The requests of WeGroup's create-lead calls, checked by what its page says and no more, and completed.

Sending is `client`'s. An update is the same request again, so nothing is sent that might clear what WeGroup has.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from app.ingest.contract import Warned
from app.providers.checking import FieldProblem, InvalidRequestError, check_request
from app.providers.wegroup.identity import DEFAULT_COMPANY
from app.providers.wegroup.lead_parts import (
    Address,
    Day,
    ExternalRef,
    Filled,
    InsurancePolicy,
    PolicyPackage,
    RiskObjects,
    WebAddress,
    WeGroupRequest,
)

CALLS: Mapping[str, str] = {"customers": "wegroup.customer-lead", "companies": "wegroup.company-lead"}
"""What the two calls are called in errors, by the last word of their path."""

PartyKind = Literal["customers", "companies"]
Path = tuple[str | int, ...]


class Prospect(WeGroupRequest):
    """What customers and companies have in common. `id`, `email`, `birth` and `address` are what a merge goes by."""

    id: Filled | None = None
    email: str | None = None
    birth: Day | None = None
    address: Address | None = None
    callbacks: list[WebAddress] | None = None
    external_ref: ExternalRef
    risk_objects: RiskObjects | None = None
    policy_packages: list[PolicyPackage] | None = None
    insurance_policies: list[InsurancePolicy] | None = None

    def dangling(self) -> Iterator[FieldProblem]:
        """Yield the links whose other end is not in the same call."""
        packages = {one.id.lower() for one in self.policy_packages or () if one.id}
        collections = self.risk_objects.collections() if self.risk_objects else ()
        objects = {one.id.lower() for _, members in collections for one in members if one.id}
        for place, policy in enumerate(self.insurance_policies or ()):
            path: Path = ("prospect", "insurance_policies", place)
            if policy.policy_package_id and policy.policy_package_id.lower() not in packages:
                detail = "is the id of none of prospect.policy_packages"
                yield FieldProblem((*path, "policy_package_id"), "dangling-link", detail)
            for index, coverage in enumerate(policy.coverages or ()):
                if coverage.risk_object_id and coverage.risk_object_id.lower() not in objects:
                    detail = "is the id of none of prospect.risk_objects"
                    yield FieldProblem((*path, "coverages", index, "risk_object_id"), "dangling-link", detail)


class Customer(Prospect):
    """A natural person. The names are in every example and nowhere said to be needed."""

    first_name: str | None = None
    last_name: str | None = None


class Company(Prospect):
    """A company. A missing `name` is the page's own example of a refusal."""

    name: Filled


class Lead(WeGroupRequest):
    """A party with what makes it a lead: where it comes from, and the link back."""

    origin: str | None = None
    backref: WebAddress | None = None
    source: str | None = None
    prospect: Prospect

    def conditions(self) -> Iterable[FieldProblem]:
        """Return dangling links and empty members of lists."""
        return [*self.prospect.dangling(), *_empty_members(super().body(), ())]

    def body(self) -> dict[str, Any]:
        """Return the JSON to send, without anything null or empty.

        A merge may take these for "clear it"; the page does not say. Places in lists stay as they are.
        """
        sent: dict[str, Any] = _without_empty(super().body())
        return sent


class CustomerLead(Lead):
    """The body of Create a customer lead."""

    prospect: Customer


class CompanyLead(Lead):
    """The body of Create a company lead."""

    prospect: Company


@dataclass(frozen=True, slots=True)
class PreparedLead:
    """A lead that was checked, as it will be sent, and what to warn of."""

    kind: PartyKind
    body: Mapping[str, Any] = field(repr=False)
    external_ref: str
    warnings: tuple[Warned, ...] = ()

    @property
    def call(self) -> str:
        """Return the call's name in errors."""
        return CALLS[self.kind]


def prepare_lead(
    kind: PartyKind,
    data: Mapping[str, Any],
    *,
    own_ref: str,
    company: str = DEFAULT_COMPANY,
    callback_url: str | None = None,
) -> PreparedLead:
    """Return a lead with our callback registered and our reference filled in.

    `own_ref` is a stable id of ours, used if the caller gives none: with a reference in it the call may be repeated
    and is an update when sent again. `company` is the source's word beside it. `callback_url` is added to the
    callbacks given, once.

    Raises:
        InvalidRequestError: names every field that is wrong.
    """
    filled = dict(data)
    warnings: list[Warned] = []
    if isinstance(filled.get("prospect"), dict):
        prospect = dict(filled["prospect"])
        if not _without_empty(prospect):
            raise InvalidRequestError(CALLS[kind], [FieldProblem(("prospect",), "empty", "says nothing of anybody")])
        warnings += _fill_reference(prospect, own_ref, company)
        _add_callback(prospect, callback_url)
        filled["prospect"] = prospect
    request = check_request(CALLS[kind], CustomerLead if kind == "customers" else CompanyLead, filled)
    return PreparedLead(kind, request.body(), request.prospect.external_ref.external_ref, tuple(warnings))


def _fill_reference(prospect: dict[str, Any], own_ref: str, company: str) -> Iterator[Warned]:
    """Complete the reference in place. Another company word than the source's is sent, with a warning.

    Whether the word counts when WeGroup looks for a lead to merge with is not documented.
    """
    given = prospect.get("external_ref")
    if not given:
        prospect["external_ref"] = {"external_ref": own_ref, "external_ref_company": company}
    elif isinstance(given, dict):
        known = {name: value for name, value in given.items() if value not in (None, "")}
        prospect["external_ref"] = {"external_ref": own_ref, "external_ref_company": company, **known}
        if prospect["external_ref"]["external_ref_company"] != company:
            yield Warned("prospect.external_ref.external_ref_company", "other-company")


def _add_callback(prospect: dict[str, Any], callback_url: str | None) -> None:
    given = prospect.get("callbacks")
    if callback_url is None or not (given is None or isinstance(given, list)):
        return
    prospect["callbacks"] = [*(given or []), *([] if callback_url in (given or []) else [callback_url])]


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: _without_empty(member) for name, member in value.items()}
        return {name: member for name, member in kept.items() if member not in (None, "", [], {})}
    return [_without_empty(member) for member in value] if isinstance(value, list) else value


def _empty_members(value: Any, path: Path) -> Iterator[FieldProblem]:
    """Yield the members of lists that say nothing: left out they would move the others, sent they might clear them."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _empty_members(member, (*path, name))
    elif isinstance(value, list):
        for place, member in enumerate(value):
            if _without_empty(member) in (None, "", [], {}):
                yield FieldProblem((*path, place), "empty-member", "says nothing; leave it out")
            else:
                yield from _empty_members(member, (*path, place))
