"""The names of constraints, and the columns that many tables have."""

from sqlalchemy import Column, DateTime, MetaData, text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

AT = DateTime(timezone=True)


def at_(name: str, *, nullable: bool = True) -> Column[object]:
    """Return a column that holds an instant; null means not yet."""
    return Column(name, AT, nullable=nullable)


def now_(name: str) -> Column[object]:
    """Return a column that holds the instant at which its row was written."""
    return Column(name, AT, nullable=False, server_default=text("clock_timestamp()"))
