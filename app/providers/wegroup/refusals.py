"""Reads WeGroup's refusals and leads their targets back to the fields of the request that was sent.

Type and target only may be logged: the texts are localised, and can quote what was sent.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.crypto import mask_tokens
from app.providers.checking import FieldProblem, is_name

_MAX_ERRORS = 200
_MAX_TARGET = 500
_MAX_DIGITS = 9
_BODY = "body"
_AT_ROOT = frozenset({"prospect", "origin", "backref", "source"})


@dataclass(frozen=True, slots=True)
class FieldRefusal:
    """One thing WeGroup refused: its type and target as sent, and the caller's own field; None if it names none.

    `message` is WeGroup's text for the caller alone.
    """

    type: str | None
    target: str | None
    path: tuple[str | int, ...] | None
    message: str | None = field(repr=False)

    @property
    def problem(self) -> FieldProblem | None:
        """Return it in the form of our own checks, without WeGroup's text; None if what it names is no field."""
        if self.path is None or not all(map(is_name, self.path)):
            return None
        return FieldProblem(self.path, "refused", "was refused by WeGroup")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a refusal says: a general type, the errors by field, and a text where there is nothing else."""

    type: str | None
    errors: tuple[FieldRefusal, ...]
    text: str | None = field(repr=False)


def read_refusal(value: Any, sent: Mapping[str, Any]) -> Refusal:
    """Return what the body of a refusal says of the request `sent`.

    `detail` is documented as an object with `type` and `errors`; a text and a list of `{loc, msg, type}` are what the
    framework behind such an API answers by itself. Anything else says nothing.
    """
    detail = value.get("detail") if isinstance(value, dict) else None
    if isinstance(detail, str):
        return Refusal(None, (), detail)
    if isinstance(detail, list):
        return Refusal(None, tuple(_of_framework(detail, sent)), None)
    if not isinstance(detail, dict):
        return Refusal(None, (), None)
    errors = detail.get("errors")
    found = tuple(_of_wegroup(errors, sent)) if isinstance(errors, list) else ()
    return Refusal(_text(detail.get("type")), found, _text(detail.get("error_str")))


def to_path(steps: list[str], sent: Mapping[str, Any]) -> tuple[str | int, ...]:
    """Return the field of `sent` that a target means: resolved against `prospect` first, then against the root.

    The page's example begins below `prospect`. A missing field cannot be found, so the base counts under which more
    of the target exists; at a tie it is `prospect`, but for the names that only the root has.
    """
    prospect = sent.get("prospect")
    below = _depth(steps, prospect)
    at_root = _depth(steps, sent) > below or (below == 0 and steps[0] in _AT_ROOT)
    base, start = ((), sent) if at_root else (("prospect",), prospect)
    return (*base, *_typed(steps, start))


def _of_wegroup(errors: list[Any], sent: Mapping[str, Any]) -> Iterator[FieldRefusal]:
    for error in errors[:_MAX_ERRORS]:
        if isinstance(error, dict):
            target = _text(error.get("target"))
            steps = [step for step in (target or "").split(".") if step]
            path = to_path(steps, sent) if steps else None
            yield FieldRefusal(_text(error.get("type")), target, path, _text(error.get("message")))


def _of_framework(errors: list[Any], sent: Mapping[str, Any]) -> Iterator[FieldRefusal]:
    for error in errors[:_MAX_ERRORS]:
        if isinstance(error, dict):
            location = error.get("loc")
            steps = [mask_tokens(str(step)) for step in location] if isinstance(location, list) else []
            steps = steps[1:] if steps[:1] == [_BODY] else steps
            path = to_path(steps, sent) if steps else None
            yield FieldRefusal(_text(error.get("type")), ".".join(steps) or None, path, _text(error.get("msg")))


def _depth(steps: list[str], value: Any) -> int:
    """Return how many steps of a target exist below `value`."""
    for depth, step in enumerate(steps):
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list) and _is_place(step) and int(step) < len(value):
            value = value[int(step)]
        else:
            return depth
    return len(steps)


def _typed(steps: list[str], value: Any) -> tuple[str | int, ...]:
    """Return the steps with places in lists as numbers."""
    typed: list[str | int] = []
    for step in steps:
        if isinstance(value, list) and _is_place(step):
            place = int(step)
            typed.append(place)
            value = value[place] if place < len(value) else None
        else:
            typed.append(step)
            value = value.get(step) if isinstance(value, Mapping) else None
    return tuple(typed)


def _is_place(step: str) -> bool:
    """Tell whether a step is a place in a list; Python reads no number of thousands of digits."""
    return step.isascii() and step.isdigit() and len(step) <= _MAX_DIGITS


def _text(value: Any) -> str | None:
    return mask_tokens(value)[:_MAX_TARGET] if isinstance(value, str) and value else None
