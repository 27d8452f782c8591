"""The problems that a platform is answered: why something was not kept, or was kept and not believed.

They say what a stranger needs who sees them in a platform's log; nothing in them comes out of the request.
"""

from app.problems import Problem

RETRY_AFTER_S = 5
_LATER = {"Retry-After": str(RETRY_AFTER_S)}
_CLOSE = {"Connection": "close"}


class UnknownCallback(Problem):
    """This callback URL is unknown: mistyped, revoked, disabled, or of another provider. Nothing was kept."""

    status = 404
    code = "unknown-callback"
    title = "Unknown callback URL"


class WrongMethod(Problem):
    """Callbacks are received by POST, PUT and PATCH. Nothing was kept."""

    status = 405
    code = "method-not-allowed"
    title = "Method not allowed"


class InvalidSignature(Problem):
    """Every item's signature (sHash) is wrong or missing. It was kept in quarantine under `id`, and not believed."""

    status = 401
    code = "invalid-signature"
    title = "Invalid signature"


class SenderRefused(Problem):
    """The sender is not one whom this callback URL takes callbacks from. It was kept in quarantine under `id`."""

    status = 401
    code = "sender-refused"
    title = "Sender refused"


class BodyTooLarge(Problem):
    """The body is larger than allowed, as sent or after decompression. Nothing was kept."""

    status = 413
    code = "body-too-large"
    title = "Body too large"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The body is larger than {limit} bytes, as sent or after decompression. Nothing was kept.", headers=_CLOSE
        )


class Overloaded(Problem):
    """Too much is being received at once. Nothing was kept; send it again later."""

    status = 503
    code = "overloaded"
    title = "Too much at once"

    def __init__(self) -> None:
        super().__init__(headers=_LATER | _CLOSE)


class StorageAway(Problem):
    """It could not be stored in time. Send it again later; if it was stored after all, that does no harm."""

    status = 503
    code = "storage-unavailable"
    title = "Storage unavailable"

    def __init__(self) -> None:
        super().__init__(headers=_LATER)


class AccountsAway(Problem):
    """This callback URL is not known here, and the database could not be asked about it. Send it again later."""

    status = 503
    code = "accounts-unavailable"
    title = "Accounts unavailable"

    def __init__(self) -> None:
        super().__init__(headers=_LATER)
