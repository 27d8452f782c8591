"""Holds request and answer of V1.1 Add Agency Number.

Sending is `client`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from app.ingest.contract import Warned
from app.providers.checking import FieldProblem
from app.providers.thinksurance.calls.shapes import Filled, ThinksuranceRequest

AGENCY_NUMBERS = "thinksurance.agency-numbers"

_INSURER_IDS = ("baFinId", "insurerId", "supervisingAuthorityId")


class AgencyNumber(ThinksuranceRequest):
    """One agency number with an insurer (Agency Number Scheme)."""

    agency_number: Filled
    match_code: str | None = None
    # Both come back in answers and notifications.
    external_insurer_id: str | None = None
    external_unique_id: str | None = None
    default_for_tenders: bool
    default_for_calculations: bool
    collection_type: Literal["broker_collection", "insurer_collection", "mga_collection"] | None = None
    internal_comment: str | None = None
    active: bool


class AgencyNumberSet(ThinksuranceRequest):
    """The agency numbers with one insurer, named by one of three ids (Agency Number Holder Scheme)."""

    ba_fin_id: Filled | None = None
    insurer_id: Filled | None = None
    supervising_authority_id: Filled | None = None
    agency_numbers: Annotated[list[AgencyNumber], Field(min_length=1)]


class AgencyNumbers(ThinksuranceRequest):
    """The body: a set for each insurer."""

    agency_number_sets: Annotated[list[AgencyNumberSet], Field(min_length=1)]

    def conditions(self) -> Iterator[FieldProblem]:
        """Yield sets without exactly one insurer id, and unique ids that come twice (an empty one is none)."""
        seen: set[str] = set()
        for place, one in enumerate(self.agency_number_sets):
            given = [one.ba_fin_id, one.insurer_id, one.supervising_authority_id]
            if sum(value is not None for value in given) != 1:
                detail = "needs exactly one of " + ", ".join(_INSURER_IDS)
                yield FieldProblem(("agencyNumberSets", place), "not-one-insurer", detail)
            for index, number in enumerate(one.agency_numbers):
                unique = number.external_unique_id
                if unique and unique in seen:
                    path = ("agencyNumberSets", place, "agencyNumbers", index, "externalUniqueId")
                    yield FieldProblem(path, "twice", "cannot be used twice")
                seen.add(unique or "")

    def warnings(self) -> Iterator[Warned]:
        """Yield second defaults of an insurer, for the last one wins, and the two external ids used together."""
        for place, one in enumerate(self.agency_number_sets):
            seen: set[str] = set()
            for index, number in enumerate(one.agency_numbers):
                path = f"agencyNumberSets.{place}.agencyNumbers.{index}"
                for name, default in (
                    ("defaultForTenders", number.default_for_tenders),
                    ("defaultForCalculations", number.default_for_calculations),
                ):
                    if default and name in seen:
                        yield Warned(f"{path}.{name}", "second-default")
                    if default:
                        seen.add(name)
                if number.external_insurer_id and number.external_unique_id:
                    yield Warned(f"{path}.externalUniqueId", "beside-insurer-id")


@dataclass(frozen=True, slots=True)
class AgencyNumbersAdded:
    """The answer: what Thinksurance said of its success, once or (as its text has it) in a list."""

    statuses: tuple[str, ...]
    warnings: tuple[Warned, ...] = ()
