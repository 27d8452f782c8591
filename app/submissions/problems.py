"""What can be wrong with a call before it is made, or with asking for it twice."""

from app.problems import Problem


class IdempotencyKeyReused(Problem):
    """This `Idempotency-Key` belongs to another request to the same source. Use a new key for a new request."""

    status = 409
    code = "idempotency-key-reused"
    title = "Idempotency key reused"


class AnswerNotKept(Problem):
    """This was done before under the same `Idempotency-Key`. Its redirect address was given then, and not kept.

    Read the submission for everything else; for a new address send the request with a new key.
    """

    status = 409
    code = "answer-not-kept"
    title = "Answer not kept"


class SourceNotReady(Problem):
    """The source lacks something that this call needs; `callbox sources set` gives it."""

    status = 409
    code = "source-not-ready"
    title = "Source not ready"


class CallUnderWay(Problem):
    """Another call about the same lead has been under way for half a minute. Nothing was sent for this one; ask again.

    It is not written down either, so the same `Idempotency-Key` serves.
    """

    status = 503
    code = "call-under-way"
    title = "Call under way"


class PlatformFailed(Problem):
    """The platform gave no usable answer. Ask again later."""

    status = 502
    code = "platform-failed"
    title = "Platform failed"


class BodyTooLong(Problem):
    """The body is longer than any request to a platform may be: 1 MB."""

    status = 413
    code = "body-too-long"
    title = "Body too long"
