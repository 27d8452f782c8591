"""Does what need not be done at once: what is due is seen in the tables, queued, done, and tried again.

What the jobs do stands in the rooms above, each a `Kind`; the server puts them together and has `runner` run them,
which is heavy to import: who only asks about jobs does without.
"""

from app.jobs.bench import Bench
from app.jobs.kind import Kind

__all__ = ["Bench", "Kind"]
