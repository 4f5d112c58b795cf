"""A token is asked for once for all who wait, early, and never told."""

import asyncio
import contextlib
from urllib.parse import parse_qs

import pytest

from fifhir.errors import DeliveryError
from fifhir.secret import Secret
from fifhir.sinks.oauth import Grant, Tokens

GRANT = Grant("http://auth/token", "me", Secret("hush"), "system/*.write")


class Endpoint:
    """Gives tokens 1, 2, ...; `status` other than 200 gives none."""

    def __init__(self, life: str = "3600") -> None:
        self.asked: list[dict[str, list[str]]] = []
        self.status = 200
        self.life = life
        self.now = 1000.0
        self.lines: list[str] = []

    async def ask(self, grant: Grant) -> tuple[int, bytes]:
        self.asked.append(parse_qs(grant.form().decode()))
        await asyncio.sleep(0)
        return self.status, b'{"access_token":"%d","expires_in":%b}' % (
            len(self.asked), self.life.encode(),
        )  # fmt: skip

    def tokens(self) -> Tokens:
        return Tokens(self.ask, self.write, lambda: self.now)

    def write(self, level: str, message: str, /, **fields: object) -> None:
        self.lines.append(f"{level} {message} {fields}")


def test_many_who_wait_ask_once() -> None:
    endpoint = Endpoint()
    tokens = endpoint.tokens()

    async def go() -> list[str]:
        return await asyncio.gather(*(tokens.get(GRANT) for _ in range(50)))

    assert set(asyncio.run(go())) == {"1"}
    assert endpoint.asked == [
        {
            "grant_type": ["client_credentials"],
            "client_id": ["me"],
            "client_secret": ["hush"],
            "scope": ["system/*.write"],
        }
    ]


def test_other_scopes_are_another_token() -> None:
    endpoint = Endpoint()
    tokens = endpoint.tokens()

    async def go() -> tuple[str, str, str]:
        other = Grant(GRANT.url, GRANT.client_id, GRANT.client_secret, "system/*.read")
        return await tokens.get(GRANT), await tokens.get(other), await tokens.get(GRANT)

    assert asyncio.run(go()) == ("1", "2", "1")


def test_it_is_renewed_before_its_end_while_the_old_one_serves_on() -> None:
    endpoint = Endpoint()
    tokens = endpoint.tokens()

    async def go() -> list[str]:
        told = [await tokens.get(GRANT)]
        endpoint.now += 3541
        told.append(await tokens.get(GRANT))
        while len(endpoint.asked) < 2:
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        told.append(await tokens.get(GRANT))
        return told

    assert asyncio.run(go()) == ["1", "1", "2"]


def test_an_endpoint_that_is_down_costs_nothing_while_the_token_lives() -> None:
    endpoint = Endpoint()
    tokens = endpoint.tokens()

    async def go() -> None:
        await tokens.get(GRANT)
        endpoint.status, endpoint.now = 503, endpoint.now + 3550
        for _ in range(5):
            assert await tokens.get(GRANT) == "1"
            await asyncio.sleep(0.01)
        assert len(endpoint.asked) == 2  # and not at every call
        endpoint.now += 100
        with pytest.raises(DeliveryError, match="503") as caught:
            await tokens.get(GRANT)
        assert (caught.value.kind, caught.value.retryable) == ("auth_error", True)

    asyncio.run(go())


def test_a_refused_token_is_asked_for_again_once() -> None:
    endpoint = Endpoint()
    tokens = endpoint.tokens()

    async def go() -> list[str]:
        first = await tokens.get(GRANT)
        tokens.forget(GRANT, first)
        tokens.forget(GRANT, "another")
        return [first, await tokens.get(GRANT), await tokens.get(GRANT)]

    assert asyncio.run(go()) == ["1", "2", "2"]


@pytest.mark.parametrize(("life", "asked"), [('"3600"', 1), ("10", 1), ('"soon"', 2)])
def test_odd_lives_are_lived_with(life: str, asked: int) -> None:
    endpoint = Endpoint(life)
    tokens = endpoint.tokens()

    async def go() -> None:
        for _ in range(2):
            with contextlib.suppress(DeliveryError):
                await tokens.get(GRANT)
            endpoint.now += 2

    asyncio.run(go())
    assert len(endpoint.asked) == asked
    assert "hush" not in repr(GRANT)


def test_the_log_has_every_token_asked_for_and_none_of_its_secrets() -> None:
    endpoint = Endpoint()
    tokens = endpoint.tokens()
    asyncio.run(tokens.get(GRANT))
    endpoint.status = 401
    tokens.forget(GRANT, "1")
    with contextlib.suppress(DeliveryError):
        asyncio.run(tokens.get(GRANT))
    fetched, refused = endpoint.lines
    assert fetched.startswith("info oauth token fetched")
    assert refused.startswith("error oauth token refused")
    assert "hush" not in fetched + refused
