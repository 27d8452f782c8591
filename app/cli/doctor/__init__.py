"""Looks at an installation for `callbox doctor`, and changes nothing; `examination` lists what is looked at."""

from app.cli.doctor.examination import examine as examine
from app.cli.doctor.finding import Finding as Finding

__all__ = ["Finding", "examine"]
