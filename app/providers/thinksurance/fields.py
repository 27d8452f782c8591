"""The field tables of the IP Notification Response, one row a field; how a row is run is `tables`' business.

Sources: "IP Notification Response" with its Inquiry, Employee, Customer, Documents Holder, File and External
References Schemes. Its footnotes: fields marked 1 are not sent in status 2, 3, 4; revenue, coverage and deductible
are in EUR (2), coverage can be a word such as `unbegrenzt` (3), `premiumYearly` alone is in cents (4).
"""

from typing import Any

from app.providers.amounts import cents_from_cents, cents_from_euros, decimal_text, number, small_integer
from app.providers.dates import day_text
from app.providers.masking import plain_names
from app.providers.tables import Table, row, top_names
from app.providers.values import Warn, boolean, from_number, platform_id, text

STATUS_NAMES = {2: "tendering_lead", 3: "tendering", 4: "calculated", 6: "ordered", 15: "proposal_created"}
"""The statuses that are documented; an example shows 25, so others come too."""

_PAYMENT_INTERVALS = (1, 3, 6, 12)
_ORIGINS = ("crm", "broker_crm", "insurer")

# Numbers in text are documented for `revenue` and `employees` alone.
_code = from_number(small_integer)
_euros = from_number(cents_from_euros)


def _ignored(_reason: str) -> None:
    """Take no warning: the value is read by another row too."""


def _coverage_cents(value: Any, warn: Warn) -> int | None:
    """Return the amount; a word is the next row's."""
    is_word = isinstance(value, str) and not any(map(str.isdigit, value))
    return None if is_word else _euros(value, warn)


def _coverage_text(value: Any, warn: Warn) -> str | None:
    """Return what is no amount."""
    return text(value, warn) if isinstance(value, str) and number(value, _ignored) is None else None


INQUIRY = Table(
    row("status", "status", _code, known=STATUS_NAMES),
    row("productId", "product_id", platform_id),
    row("productName", "product_name", text),
    row("industryId", "industry_id", platform_id),
    row("industryName", "industry_name", text),  # not in the table; seen in an example
    row("professionId", "profession_id", platform_id),
    row("professionName", "profession_name", text),
    row("bExternalId", "broker_external_id", text),
    row("bFoundDate", "broker_founded_on", day_text),  # said to be the broker's company; may be the customer's
    row("insuranceCompanyId", "insurer_id", platform_id),
    row("insuranceCompanyName", "insurer_name", text),
    # "Agency numbers" says that both come back in IPNs; where is not documented.
    row("externalInsurerId *.externalInsurerId", "insurer_external_id", text),
    row("externalUniqueId *.externalUniqueId", "agency_number_external_id", text),
    row("premiumYearly", "premium_yearly_cents", from_number(cents_from_cents)),
    row("coverage", "coverage_cents", _coverage_cents),
    row("coverage", "coverage_text", _coverage_text),
    row("deductible", "deductible_cents", _euros),
    row("revenue", "revenue_cents", cents_from_euros),
    row("taxPercent", "tax_percent", from_number(decimal_text)),
    row("contractStartDate", "contract_start_on", day_text),
    row("contractPayDate", "contract_payment_on", day_text),
    row("contractDuration", "contract_years", _code),
    row("paymentInterval", "payment_interval_months", _code, known=_PAYMENT_INTERVALS),
    row("employees.full", "employees_full", small_integer),
    row("employees.part", "employees_part", small_integer),
    row("digitalOrderAvailable", "digital_order_available", boolean),
    row("digitalOrderSuccess", "digital_order_success", boolean),
    row("iCreated", "created_on", day_text),
    row("iUpdated", "updated_on", day_text),
)

INQUIRY_REFERENCES = ("externalReferences", "iExternalReferences")
"""The table has the first name, the examples the second; both are read, neither is noted, the table's wins."""

INQUIRY_NAMES = top_names(INQUIRY) - {"*"} | {"bToken", "iId", *INQUIRY_REFERENCES}

_SALUTATIONS = {1: "mr", 2: "ms"}


def _salutation(value: Any, warn: Warn) -> str | None:
    code = _code(value, warn)
    if code is not None and code not in _SALUTATIONS:
        warn("unknown-value")
    return None if code is None else _SALUTATIONS.get(code)


CUSTOMER = Table(
    row("cId", "customer_id", platform_id),
    row("cExternalId", "external_id", text),
    row("cSalutation", "salutation", _salutation),
    row("cFirstName", "first_name", text),
    row("cLastName", "last_name", text),
    row("cBirthDate", "birth_date", day_text),
    row("cEmail", "email", text),
    row("cPhone", "phone", text),
    row("cWebsite", "website", text),
    row("cCompany", "company", text),
    # 0: use the cCompany address; 1: this one
    row("cPrivateIsCompanyAddress", "private_is_company_address", from_number(boolean)),
)

CUSTOMER_ADDRESS = Table(
    row("cStreet", "street", text),
    row("cStreetNumber", "house_number", text),
    row("cZip", "postal_code", text),
    row("cCity", "city", text),
)

CUSTOMER_COMPANY_ADDRESS = Table(
    row("cCompanyStreet", "street", text),
    row("cCompanyStreetNumber", "house_number", text),
    row("cCompanyZip", "postal_code", text),
    row("cCompanyCity", "city", text),
)

CUSTOMER_REFERENCES = ("cExternalReferences",)

# Fields of Broker Forward that are not in the table, but may come back.
_FORWARD_NAMES = {"cLegalForm", "cAccountType", "cBankIban", "cBankBic", "cBankName", "cBankAccountHolder"}

CUSTOMER_NAMES = (
    top_names((*CUSTOMER, *CUSTOMER_ADDRESS, *CUSTOMER_COMPANY_ADDRESS)) | {*CUSTOMER_REFERENCES} | _FORWARD_NAMES
)

FILE = Table(
    row("hash", "hash", text),
    row("name", "name", text),
    row("fullName", "full_name", text),
    row("documentPurpose", "purpose", text),  # an enum whose values are not published: free text
)

REFERENCE = Table(
    row("origin", "origin", text, known=_ORIGINS),
    row("paramKey", "key", text),
    row("paramValue", "value", text),
)

ITEM_NAMES = frozenset({"sHash", "data", "customer", "docs"})

_ANYWHERE = {"externalInsurerId", "externalUniqueId"}  # see INQUIRY
EMPLOYEE_NAMES = frozenset({"full", "part"} | _ANYWHERE)
REFERENCE_NAMES = top_names(REFERENCE) | _ANYWHERE
HOLDER_NAMES = frozenset({"docToken", "files"})
TOKEN_NAMES = frozenset({"token", "expired"})
FILE_NAMES = top_names(FILE) | {"fullFilePath"}

ADDRESS_KEYS = ("street", "house_number", "postal_code", "city", "country", "text")

# The signature and the credentials of an item by name (IP Notification Response), and the jump address of a forward.
CREDENTIALS = frozenset({"shash", "btoken", "atoken", "fullfilepath", "token", "url"})
HOLDERS = frozenset({"doctoken"})
"""May be the token itself or an object with the token and its expiry."""

PLAIN = plain_names(
    {*ITEM_NAMES, *INQUIRY_NAMES, *CUSTOMER_NAMES, *top_names((*FILE, *REFERENCE)), "files"}, CREDENTIALS, HOLDERS
)
"""The names of these tables that are none of a credential."""
