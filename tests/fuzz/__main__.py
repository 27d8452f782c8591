"""Looks for inputs that lack the property of their target: `make fuzz`, `make fuzz ARGS='senders times'`.

Each target gets its share of FUZZ_SECONDS (300) in a process of its own. What is found is kept in `found/<target>`,
one input for each place in the code, and is a case of the test suite from then on. What atheris learns on the way is in
`.fuzz`, so that the next search goes on from there.
"""

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import structlog

HERE = Path(__file__).parent
LEARNED = HERE.parent.parent / ".fuzz"
_DEFAULT_SECONDS = 300
_LONGEST_INPUT = 6000
_LONGEST_RUN_S = 25
_MOST_MEMORY_MB = 2000
_SILENT = 50
_ONE = "--one"


def main(arguments: list[str]) -> int:
    """Search all the targets named, or all; return 1 if something was found, 2 if nothing can be looked for."""
    if importlib.util.find_spec("atheris") is None:
        _say("Fuzzing needs atheris, which there is for Linux on x86-64 only.")
        return 2
    targets = sorted(path.name for path in (HERE / "corpus").iterdir())
    if unknown := [name for name in arguments if name not in targets]:
        _say(f"No target: {', '.join(unknown)}. There are: {', '.join(targets)}.")
        return 2
    names = arguments or targets
    seconds = max(1, int(os.environ.get("FUZZ_SECONDS") or _DEFAULT_SECONDS) // len(names))
    found = 0
    _say(f"{seconds} seconds for each of {len(names)}")
    _say(f"{'target':<14}{'executions':>12}{'a second':>10}{'coverage':>10}{'features':>10}{'inputs':>8}{'found':>7}")
    for name in names:
        found += _search_aside(name, seconds)
    if found:
        _say(f"{found} found: see {HERE.relative_to(Path.cwd())}/found and {LEARNED.name}/<target>.log")
    return 1 if found else 0


def _search_aside(name: str, seconds: int) -> int:
    """Search one target in a process of its own, say what came of it, and return how much was found."""
    folder = HERE / "found" / name
    before = _count(folder)
    log = LEARNED / f"{name}.log"
    LEARNED.mkdir(exist_ok=True)
    with log.open("wb") as output:
        command = [sys.executable, "-m", "tests.fuzz", _ONE, name, str(seconds)]
        ended = subprocess.run(command, check=False, stdout=output, stderr=output, cwd=LEARNED.parent)
    said = log.read_text(errors="replace")
    numbers = dict(re.findall(r"stat::(\w+): +(\d+)", said))
    last = (re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", said) or [("0", "0", "0")])[-1]
    new = _count(folder) - before
    units, speed = numbers.get("number_of_executed_units", "0"), numbers.get("average_exec_per_sec", "0")
    _say(f"{name:<14}{units:>12}{speed:>10}{last[0]:>10}{last[1]:>10}{last[2]:>8}{new:>7}")
    if ended.returncode and not new:
        _say(f"{name}: ended with {ended.returncode}, see {log}")
        return 1
    return new


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _count(folder: Path) -> int:
    return len(list(folder.glob("*")))


def search(name: str, seconds: int) -> None:
    """Search one target; does not return."""
    atheris: Any = importlib.import_module("atheris")  # by name, for `make lint` does without it
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(_SILENT))
    with atheris.instrument_imports(include=["app"]):
        from tests.fuzz.targets import CORPUS, FOUND, TARGETS  # noqa: PLC0415 - under the instruments
        from tests.fuzz.words import words  # noqa: PLC0415 - as above

    has_property, folder, learned = TARGETS[name], FOUND / name, LEARNED / name
    for one in (folder, learned):
        one.mkdir(parents=True, exist_ok=True)
    known = {place for path in folder.glob("*") if (place := _place_of_failure(has_property, path.read_bytes()))}
    dictionary = LEARNED / f"{name}.words"
    dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in words()))

    def run(data: bytes) -> None:
        place = _place_of_failure(has_property, data)
        if place and place not in known:
            known.add(place)
            (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
            _say(f"FOUND at {place}")

    options = {
        "max_total_time": seconds,
        "max_len": _LONGEST_INPUT,
        "timeout": _LONGEST_RUN_S,
        "rss_limit_mb": _MOST_MEMORY_MB,
        "artifact_prefix": f"{folder}/",
        "dict": dictionary,
        "print_final_stats": 1,
    }
    folders = [str(one) for one in (learned, CORPUS / name, folder)]
    atheris.Setup([sys.argv[0], *folders, *(f"-{option}={value}" for option, value in options.items())], run)
    atheris.Fuzz()


def _place_of_failure(has_property: object, data: bytes) -> str:
    """Return where the property was missed, by the innermost lines of ours; nothing if it was not."""
    try:
        has_property(data)  # type: ignore[operator]  # one of TARGETS
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        frames = traceback.extract_tb(error.__traceback__)
        places = [f"{Path(one.filename).name}:{one.lineno}" for one in frames if "site-packages" not in one.filename]
        return f"{type(error).__name__} {' '.join(places[-3:])}"
    return ""


def _escaped(word: str) -> str:
    return "".join(chr(one) if 32 < one < 127 and one not in b'"\\' else f"\\x{one:02x}" for one in word.encode())


if __name__ == "__main__":
    if sys.argv[1:2] == [_ONE]:
        search(sys.argv[2], int(sys.argv[3]))
    else:
        try:
            sys.exit(main(sys.argv[1:]))
        except KeyboardInterrupt:
            sys.exit("Stopped; what was learned is kept.")
