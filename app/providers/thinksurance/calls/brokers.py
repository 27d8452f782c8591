"""Holds the requests and answers about brokers and accounts: V1.1 Create Broker, Get Broker Token, Get Account Token.

Sending is `client`'s; keeping a token that was got, the accounts room's.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

from app.providers.checking import FieldProblem
from app.providers.thinksurance.calls.shapes import Filled, FilledEmail, NotBool, ThinksuranceRequest

CREATE_BROKER = "thinksurance.broker"
BROKER_TOKENS = "thinksurance.broker-tokens"
ACCOUNT_TOKENS = "thinksurance.account-tokens"


class WhichBroker(ThinksuranceRequest):
    """The body of Get Broker Token: a broker by the partner's id, address and name."""

    type: Annotated[Literal[1, 2], NotBool]
    b_external_id: Filled
    b_email: FilledEmail
    b_last_name: Filled | None = None
    b_company: Filled | None = None

    def conditions(self) -> Iterator[FieldProblem]:
        """Yield that one of the two names is needed."""
        if self.b_last_name is None and self.b_company is None:
            yield FieldProblem(("bLastName",), "missing", "is required unless bCompany is given")


class NewBroker(WhichBroker):
    """The body of Create Broker. The stored page is cut after the address, so phone and registers are Forward's."""

    b_gender: Annotated[Literal[1, 2], NotBool] | None = None
    b_first_name: str | None = None
    b_street: str | None = None
    b_street_number: str | None = None
    b_zip: str | None = None
    b_city: str | None = None
    b_phone: str | None = None
    b_company_reg_number: str | None = None
    b_reg_number: str | None = None


@dataclass(frozen=True, slots=True)
class BrokerToken:
    """A broker's token, as good as a password: `X-Broker-Token` of later calls."""

    token: str = field(repr=False)
    status: str | None = None


@dataclass(frozen=True, slots=True)
class CreatedBroker:
    """The answer of Create Broker, whose page is cut: the token if one came, and what was said."""

    token: str | None = field(default=None, repr=False)
    status: str | None = None


@dataclass(frozen=True, slots=True)
class AccountToken:
    """An account's token, as good as a password: `X-Account-Token` of later calls."""

    token: str = field(repr=False)
    name: str | None = None
