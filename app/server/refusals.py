"""The problems that are answered where a connection is out of its bounds, see `bounds`."""

from app.problems import Problem


class HeadersTooLarge(Problem):
    """The request line and headers are larger than 32 KiB together, or more than 100 fields."""

    status = 431
    code = "headers-too-large"
    title = "Headers too large"


class TooSlow(Problem):
    """The request took too long: its headers must be complete within 10 seconds, its body within 30."""

    status = 408
    code = "request-timeout"
    title = "Too slow"


class BadRequest(Problem):
    """This is not HTTP as this server understands it."""

    status = 400
    code = "bad-request"
    title = "Bad request"


class UnknownMethod(Problem):
    """This server knows no such method."""

    status = 501
    code = "not-implemented"
    title = "Not implemented"


class TooManyPipelined(Problem):
    """More than 256 requests were sent ahead on one connection."""

    status = 429
    code = "too-many-pipelined"
    title = "Too many requests ahead"


class TooManyConnections(Problem):
    """Too many connections are open. Send it again later."""

    status = 503
    code = "too-many-connections"
    title = "Too many connections"
