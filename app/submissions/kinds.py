"""Lists the kinds of calls that can be made, written out; each stands in its platform's module."""

from collections.abc import Mapping

from app.submissions import allianz, thinksurance, wegroup
from app.submissions.calls import Kind

KINDS: Mapping[tuple[str, str], Kind] = {
    (kind.provider, kind.name): kind for kind in (*thinksurance.KINDS, *wegroup.KINDS, *allianz.KINDS)
}
"""All kinds by platform and name."""
