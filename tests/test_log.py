"""The form of the logs, and that no token gets into them whatever is logged."""

import io
import json
import logging
from typing import Any

import pytest
import structlog

from app.config import load_settings
from app.crypto import new_api_key, new_callback_token
from app.log import configure_logging


def logged(log_format: str, level: str = "info") -> io.StringIO:
    out = io.StringIO()
    configure_logging(load_settings(log_format=log_format, log_level=level), out)
    return out


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_json_is_one_object_a_line() -> None:
    out = logged("json")
    structlog.get_logger("x").info("delivery.accepted", status=200)
    logging.getLogger("some.library").warning("two\nlines %s", 2)
    ours, theirs = lines(out)
    assert (ours["event"], ours["status"], ours["level"]) == ("delivery.accepted", 200, "info")
    assert ours["at"].endswith("Z")
    assert (theirs["event"], theirs["library"], theirs["text"]) == ("library.spoke", "some.library", "two\nlines 2")


def test_the_level_is_kept_to() -> None:
    out = logged("json", "warning")
    structlog.get_logger("x").info("delivery.accepted")
    logging.getLogger("some.library").info("hello")
    structlog.get_logger("x").warning("database.lost")
    assert [line["event"] for line in lines(out)] == ["database.lost"]


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_tokens_and_keys_are_masked_wherever_they_stand(log_format: str) -> None:
    out = logged(log_format)
    token, key = new_callback_token(), new_api_key()
    structlog.get_logger("x").info(f"oops.{token}", path=f"/callbacks/x/{token}", deep=[{"key": key}])
    logging.getLogger("uvicorn.error").error("Bad %s", token)
    try:
        int(f"https:\\/\\/example.test\\/callbacks\\/x\\/{token}")
    except ValueError:
        structlog.get_logger("x").exception("request.failed")
        logging.getLogger("some.library").exception("oops")
    assert token[4:] not in out.getvalue()
    assert key[4:] not in out.getvalue()
    assert out.getvalue().count("cbt_***") >= 5


def test_the_access_log_of_uvicorn_is_off() -> None:
    out = logged("console", "debug")
    logging.getLogger("uvicorn.access").info('"POST /callbacks/x/secret"')
    assert not out.getvalue()
