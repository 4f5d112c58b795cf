"""The issuer's keys, fetched from where it publishes them, and again before they are missed."""

import asyncio
import ssl
from collections.abc import Mapping

import aiohttp

from fifhir import tls
from fifhir.bearer import Signer, Verifier, read_jwks
from fifhir.logs import Log

TIMEOUT = 10.0  # seconds
LIMIT = 1 << 20  # bytes of a key set
PAUSE = 3.0  # seconds after a fetch in which a key that is not known does not cause another
FIRST_RETRY, LAST_RETRY = 1.0, 60.0  # seconds after a failure


class Fetcher:
    """Keeps a verifier's keys; one fetch at a time, whoever misses a key."""

    def __init__(self, url: str, authorities: str, every: float, log: Log) -> None:
        self._url = url
        self._authorities = authorities
        self._every = every
        self._log = log
        self._wanted = asyncio.Event()
        self._fetched = float("-inf")

    async def run(self, verifier: Verifier) -> None:
        """The keys are at most `every` seconds old, unless the issuer is away; until cancelled."""
        verifier.missing = self._miss
        pause = FIRST_RETRY
        trust = tls.calling(self._authorities, "", "") if self._url.startswith("https:") else False
        while True:
            self._wanted.clear()
            try:
                verifier.replace(await self._fetch(trust))
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as fault:
                reason = str(fault) if isinstance(fault, ValueError) else type(fault).__name__
                self._log.warn("jwks not fetched", reason=reason)
                wait, pause = pause, min(2 * pause, LAST_RETRY)
            else:
                wait, pause = self._every, FIRST_RETRY
            self._fetched = asyncio.get_running_loop().time()
            try:
                await asyncio.wait_for(self._wanted.wait(), wait)
            except TimeoutError:
                continue

    def _miss(self) -> bool:
        """A token names a key we do not have: whether the keys are fetched for it."""
        if asyncio.get_running_loop().time() - self._fetched < PAUSE:
            return False
        self._wanted.set()
        return True

    async def _fetch(self, trust: ssl.SSLContext | bool) -> Mapping[str, Signer]:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(self._url, ssl=trust, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise ValueError(f"the issuer answered {answer.status}")
            text = bytearray()
            async for chunk in answer.content.iter_any():
                text += chunk
                if len(text) > LIMIT:
                    raise ValueError(f"it is larger than {LIMIT} bytes")
        return read_jwks(bytes(text))
