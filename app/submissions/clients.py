"""Keeps one client for each source, so that its session and connections serve the next call too.

How a platform is called is told in `app.providers`.
"""

import asyncio
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

from app.accounts.model import Source
from app.providers.calling import ANSWER_SECONDS
from app.submissions.problems import SourceNotReady

_LONGEST_CALL_S: Final = 3600.0


class Client(Protocol):
    """Anything that holds connections."""

    async def aclose(self) -> None:
        """Close them."""


AClient = TypeVar("AClient", bound=Client)
Made_co = TypeVar("Made_co", bound=Client, covariant=True)


class Maker(Protocol[Made_co]):
    """Makes the client of a source; raises ValueError with the name of what is missing or wrong."""

    def __call__(self, source: Source, *, answer_seconds: float) -> Made_co:
        """Return it."""


class Clients:
    """The clients of one event loop; `aclose` ends them. They wait `answer_seconds` for an answer."""

    def __init__(self, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._answer_seconds = answer_seconds
        self._held: dict[UUID, tuple[Source, Client]] = {}
        self._retired: dict[Client, asyncio.Task[None]] = {}

    def get(self, source: Source, make: Maker[AClient]) -> AClient:
        """Return the client of a source; a new one where settings or credentials have changed.

        Raises:
            SourceNotReady: a credential or a setting is missing or wrong.
        """
        held = self._held.get(source.id)
        if held is not None:
            known, client = held
            if (known.settings, known.credentials) == (source.settings, source.credentials):
                found: Any = client
                return found  # type: ignore[no-any-return]  # a source is of one platform, so it is of that type
            self._retire(client)
        try:
            made = make(source, answer_seconds=self._answer_seconds)
        except ValueError as error:  # its text names the credential or setting, never a value
            raise SourceNotReady(f"The source {source.name} cannot call its platform: {error}.") from None
        self._held[source.id] = (source, made)
        return made

    def _retire(self, client: Client) -> None:
        """Close a client later: a call may still be under way."""

        async def close() -> None:
            await asyncio.sleep(_LONGEST_CALL_S)
            await client.aclose()
            del self._retired[client]

        self._retired[client] = asyncio.get_running_loop().create_task(close())

    async def aclose(self) -> None:
        """Close all connections."""
        for closing in self._retired.values():
            closing.cancel()
        for client in [*self._retired, *(client for _, client in self._held.values())]:
            await client.aclose()
        self._retired.clear()
        self._held.clear()
