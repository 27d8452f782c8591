"""What libpq takes for a URL, an engine takes too."""

import pytest
from sqlalchemy import create_engine

from app.storage.engine import engine_url


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("postgresql://h/db", {"host": "h", "dbname": "db"}),
        (
            "postgres://u:p%40x@h:5433/db?sslmode=require",
            {"user": "u", "password": "p@x", "host": "h", "port": "5433", "dbname": "db", "sslmode": "require"},
        ),
        ("postgresql://u@/db?host=/run/x&port=5432", {"user": "u", "host": "/run/x", "port": "5432", "dbname": "db"}),
        (
            "postgresql://h1:1,h2:2/db?target_session_attrs=read-write",
            {"host": "h1,h2", "port": "1,2", "dbname": "db", "target_session_attrs": "read-write"},
        ),
        ("postgresql:///db?host=h1,h2&port=5433", {"host": "h1,h2", "port": "5433,5433", "dbname": "db"}),
    ],
)
def test_the_driver_is_asked_for_what_the_url_says(url: str, asked: dict[str, str]) -> None:
    made = engine_url(url)
    assert made.drivername == "postgresql+psycopg"
    _, told = create_engine(made).dialect.create_connect_args(made)
    told.pop("context")  # the driver's own
    assert told == asked


def test_the_password_is_not_shown() -> None:
    assert "invented" not in repr(engine_url("postgresql://u:invented@h1:1,h2:2/db"))
