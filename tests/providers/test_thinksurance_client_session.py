"""Shows how long a session token is used, and when it is renewed."""

import asyncio
from collections.abc import Iterator

import httpx2
import pytest

from app.providers.calling import RefusedError, UnusableAnswerError
from app.providers.thinksurance.calls import ThinksuranceClient
from app.providers.thinksurance.calls.session import TOKEN_SECONDS, Credentials, LoginRefusedError
from tests.doubles.asking import CREDENTIALS, Stage, Stand, staged

TOKENS, PRODUCTS = "/api/ipn/tokens", "/api/ipn/products"


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """One server for all."""
    with staged() as stage:
        yield stage


@pytest.fixture
def stand(stage: Stage) -> Stand:
    """A fresh double."""
    return stage.fresh()


@pytest.fixture
def clock() -> Clock:
    """The client's clock."""
    return Clock()


def logins(stand: Stand) -> int:
    return len(stand.heard(TOKENS))


def test_one_token_serves_for_fourteen_minutes(stand: Stand, clock: Clock) -> None:
    async def ask(client: ThinksuranceClient) -> None:
        await client.get_products()
        clock.now += TOKEN_SECONDS - 1
        await client.get_products()
        assert logins(stand) == 1
        clock.now += 1
        await client.get_products()
        assert logins(stand) == 2

    assert TOKEN_SECONDS == 14 * 60
    stand.ask(ask, clock=clock)


def test_many_at_once_log_in_once(stand: Stand) -> None:
    async def ask(client: ThinksuranceClient) -> None:
        await asyncio.gather(*(client.get_products() for _ in range(5)))

    stand.ask(ask)
    assert (logins(stand), len(stand.heard(PRODUCTS))) == (1, 5)


@pytest.mark.parametrize("status", [200, 400, 401, 404])
def test_an_expired_token_is_renewed_once_and_the_call_repeated(stand: Stand, status: int) -> None:
    stand.double.settings.error_status = status

    async def ask(client: ThinksuranceClient) -> None:
        await client.get_products()
        stand.double.world.expire_sessions()
        assert len(await client.get_products()) == 2

    stand.ask(ask)
    assert logins(stand) == 2


def test_many_at_once_renew_once(stand: Stand) -> None:
    async def ask(client: ThinksuranceClient) -> None:
        await client.get_products()
        stand.double.world.expire_sessions()
        await asyncio.gather(*(client.get_products() for _ in range(5)))

    stand.ask(ask)
    assert logins(stand) == 2


def test_a_token_that_never_lives_is_renewed_once_only(stand: Stand) -> None:
    stand.double.world.token_seconds = -1

    async def ask(client: ThinksuranceClient) -> None:
        with pytest.raises(RefusedError):
            await client.get_products()
        assert logins(stand) == 1  # it was fresh
        with pytest.raises(RefusedError):
            await client.get_products()
        assert logins(stand) == 2

    stand.ask(ask)


def test_any_refusal_may_be_expiry_once_the_token_is_not_young(stand: Stand, clock: Clock) -> None:
    stand.double.quirks.add("refused", PRODUCTS, times=9)

    async def ask(client: ThinksuranceClient) -> None:
        await client.get_professions()
        with pytest.raises(RefusedError):
            await client.get_products()
        assert logins(stand) == 1
        clock.now += 60
        with pytest.raises(RefusedError):
            await client.get_products()
        assert logins(stand) == 2

    stand.ask(ask, clock=clock)


def test_wrong_credentials_are_told_as_such_and_not_shown(stand: Stand) -> None:
    credentials = Credentials("other-hash", "other-secret")
    with pytest.raises(LoginRefusedError) as caught:
        stand.ask(lambda client: client.get_products(), credentials=credentials)
    assert caught.value.said == "API User is not existing or deactivated."
    assert "other" not in f"{caught.value!r}"
    assert [one.path for one in stand.double.heard] == [TOKENS]


@pytest.mark.parametrize("answer", [{}, [], {"token": ""}, {"token": "a\r\nb"}, {"token": {"a": 1}}, {"token": "ü"}])
def test_an_unusable_token_is_told(answer: object) -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=answer))
    with pytest.raises(UnusableAnswerError):
        asyncio.run(ThinksuranceClient(CREDENTIALS, transport=transport).log_in())


def test_the_documented_address_is_the_default() -> None:
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        return httpx2.Response(200, json={"token": "t", "expired": "0000-00-00 00:00:00", "more": 1})

    asyncio.run(ThinksuranceClient(CREDENTIALS, transport=httpx2.MockTransport(answer)).log_in())
    assert asked == ["https://ipn.thinksurance.de/api/ipn/tokens"]
