"""Calls the platforms and keeps what was asked and answered; tying callbacks to it is the processor's business."""

from app.submissions.routes import router as router
from app.submissions.sending import Sender as Sender
