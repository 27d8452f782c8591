"""Packs what was judged at receipt into the bytes of `deliveries.judged` and `deliveries.verdict`.

Judging itself is the platforms' business; the processor judges nothing again unless it is told to.
"""

from collections.abc import Sequence

from app.ingest.contract import VERDICTS, Findings, Item, Mode, Verdict

_QUARANTINED = 0x80


def pack(items: Sequence[Item]) -> bytes:
    """Return a byte for each item: the rank of its verdict, the high bit set if it is quarantined."""
    return bytes([item.verdict.rank | (_QUARANTINED if item.reason else 0) for item in items])


def unpack(judged: bytes) -> list[tuple[Verdict, bool]]:
    """Return verdict and "is quarantined" of each item, as it was packed."""
    return [(VERDICTS[byte & ~_QUARANTINED], bool(byte & _QUARANTINED)) for byte in judged]


def worst_verdict(findings: Findings, mode: Mode) -> Verdict:
    """Return a delivery's verdict: its worst item's, or without items what a body that carries no signature gets."""
    if findings.items:
        return VERDICTS[max(item.verdict.rank for item in findings.items)]
    return Verdict.UNCHECKED if mode is Mode.OFF else Verdict.UNSIGNED
