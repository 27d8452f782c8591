"""Answers questions about what was received, over REST and read only; what is kept is left to ingest and processing."""

from app.query.cursor import cursor_key as cursor_key
from app.query.feed import Streams as Streams
from app.query.rate import RateHeadersMiddleware as RateHeadersMiddleware
from app.query.reading import Reading as Reading
from app.query.routes import router as router
from app.query.strangers import StrangersMiddleware as StrangersMiddleware
