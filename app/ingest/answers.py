"""Decides what a platform is answered for a delivery that is kept.

What is refused and not kept is the business of `receiver`.
"""

from dataclasses import dataclass
from functools import lru_cache

import orjson

from app.ingest.contract import Findings, Mode, Reason, Source, Verdict
from app.ingest.judged import pack, worst_verdict
from app.ingest.sender_checks import Check

ACCEPTED = 200
QUARANTINED = 202
NOTIFIED = 204
UNAUTHENTIC = 401

_SIGNATURE = frozenset({Reason.INVALID_SIGNATURE, Reason.SIGNATURE_MISSING, Reason.SIGNATURE_UNPROVEN})
_UNPROVEN = frozenset({Verdict.INVALID, Verdict.UNSIGNED})


@dataclass(frozen=True, slots=True)
class Answer:
    """The status to answer, what to say about it, and what to keep about the judgement."""

    status: int
    verdict: Verdict
    judged: bytes
    reason: Reason | None = None
    accepted: int = 0
    quarantined: int = 0
    failed: Check | None = None

    def body(self, delivery_id: str) -> bytes:
        """Return the JSON body of an answer 200 or 202; 204 has none, and 401 is a problem."""
        return b'{"id":"%b",%b' % (delivery_id.encode(), _said(self.accepted, self.quarantined, self.reason))


@lru_cache(maxsize=1024)
def _said(accepted: int, quarantined: int, reason: Reason | None) -> bytes:
    """Return what stands in the body of an answer behind the id."""
    said: dict[str, object] = {"status": "accepted" if accepted else "quarantined"}
    if accepted:
        said["items"] = {"accepted": accepted, "quarantined": quarantined}
    else:
        said["reason"] = reason
    return orjson.dumps(said)[1:]


_to_one: dict[tuple[object, ...], Answer] = {}


def answer_for(findings: Findings, source: Source) -> Answer:
    """Return the answer to what was found in a delivery of `source`."""
    if len(findings.items) != 1:
        return _made(findings, source)
    item = findings.items[0]
    # All that the answer to a single item depends on, out of closed sets.
    kind = (item.verdict, item.reason, findings.notification, source.mode, source.recipe_proven)
    answer = _to_one.get(kind)
    if answer is None:
        answer = _to_one[kind] = _made(findings, source)
    return answer


def _made(findings: Findings, source: Source) -> Answer:
    items = findings.items
    accepted = sum(item.reason is None for item in items)
    status, reason = _judgement(findings, source, accepted)
    return Answer(
        status=status,
        verdict=worst_verdict(findings, source.mode),
        judged=pack(items),
        reason=reason,
        accepted=accepted,
        quarantined=len(items) - accepted,
    )


def refusal_for(failed: Check, source: Source) -> Answer:
    """Return the answer to a sender whom `source` refuses: what came is kept, and its items are not looked for."""
    return Answer(
        status=UNAUTHENTIC,
        verdict=worst_verdict(Findings(), source.mode),
        judged=b"",
        reason=Reason.SENDER_REFUSED,
        failed=failed,
    )


def was_sender_refused(answered: int, judged: bytes) -> bool:
    """Tell whether a stored delivery was refused for its sender: the other 401 has items that are judged."""
    return answered == UNAUTHENTIC and not judged


def _judgement(findings: Findings, source: Source, accepted: int) -> tuple[int, Reason | None]:
    """Return the status, and the reason where nothing is accepted."""
    if findings.notification:
        return NOTIFIED, None
    if accepted:
        return ACCEPTED, None
    reasons = [item.reason for item in findings.items]
    if not reasons:
        return QUARANTINED, findings.reason or Reason.NOTHING_IN_IT
    verdicts = {item.verdict for item in findings.items}
    if source.mode is Mode.ENFORCE and verdicts <= _UNPROVEN:  # whatever else is wrong with some of them
        for_signature = not _SIGNATURE.isdisjoint(reasons)
        # Until the recipe has matched once, a wrong recipe of ours is as likely as a wrong sender: no 401 yet.
        if source.recipe_proven and (for_signature or Verdict.INVALID in verdicts):
            return UNAUTHENTIC, Reason.INVALID_SIGNATURE
        if for_signature:
            return QUARANTINED, Reason.SIGNATURE_UNPROVEN
    return QUARANTINED, reasons[0]
