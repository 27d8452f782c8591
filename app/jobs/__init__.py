"""Does what need not be done at once: what is due is seen in the tables, queued, done, and tried again.

What the jobs do stands in the rooms above, each a `Kind`; the server puts them together and runs them.
"""

from app.jobs.bench import Bench
from app.jobs.kind import Kind
from app.jobs.runner import run_jobs

__all__ = ["Bench", "Kind", "run_jobs"]
