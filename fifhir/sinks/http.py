"""How actions speak HTTP: who they say they are, what they take for an answer, what they tell.

The host is the workflow's to say, never a message's, and a redirect is not followed. Nothing of an
answer's body gets into an error: it may repeat what was sent.
"""

import re
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated
from urllib.parse import urlsplit

import aiohttp
from msgspec import Meta, Struct
from yarl import URL

from fifhir.errors import DeliveryError
from fifhir.logs import Write
from fifhir.resilience import Resilience
from fifhir.schema import Faults
from fifhir.secret import NONE, Secret
from fifhir.sinks.oauth import Grant, Tokens
from fifhir.tls import CaFile, CertFile, Insecure, KeyFile, Trust

CONNECTIONS = 256  # of one worker to one host; an action's own bulkhead is narrower
CONNECT = 10.0  # seconds to resolve a name, connect and agree on TLS
KEPT = 1 << 20  # bytes of an answer's body that are ever looked at

PUBLIC = Trust()  # the authorities of this machine

_PRINTABLE = re.compile(r"[\x20-\x7e]*")


class HttpConfig(Resilience, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of an action that speaks HTTP."""

    token: Annotated[Secret, Meta(description="Sent as a Bearer token.")] = NONE
    authorization: Annotated[
        Secret, Meta(description="The whole Authorization header; goes before every other key.")
    ] = NONE
    token_url: Annotated[
        str,
        Meta(
            max_length=2048,
            description="OAuth2: where a token is had for client_id and client_secret (client "
            "credentials); goes before token.",
        ),
    ] = ""
    client_id: Annotated[str, Meta(max_length=512, description="OAuth2: the client's id.")] = ""
    client_secret: Annotated[Secret, Meta(description="OAuth2: the client's secret.")] = NONE
    scopes: Annotated[
        str, Meta(max_length=2048, description="OAuth2: scopes, with spaces or commas.")
    ] = ""
    user_agent: Annotated[str, Meta(max_length=256, description="The User-Agent header.")] = (
        "fi-fhir/1.0"
    )
    ca_file: CaFile = ""
    cert_file: CertFile = ""
    key_file: KeyFile = ""
    tls_insecure: Insecure = False

    def trust(self) -> Trust:
        return Trust(self.ca_file, self.cert_file, self.key_file, self.tls_insecure)

    def faults(self) -> Faults:
        yield from super().faults()
        yield from self.trust().faults(spoken=True)
        for name in ("token", "authorization", "user_agent"):
            value = getattr(self, name)
            text = value.reveal() if isinstance(value, Secret) else value
            if not _PRINTABLE.fullmatch(text):
                yield (name,), "a header has printable ASCII only"
        if self.token_url:
            if wrong := url_fault(self.token_url):
                yield ("token_url",), wrong
            for name in ("client_id", "client_secret"):
                if not getattr(self, name):
                    yield ("token_url",), f"needs {name} as well"

    def grant(self) -> Grant | None:
        """What a token is asked for with, if one is."""
        if not self.token_url or self.authorization:
            return None
        scopes = " ".join(self.scopes.replace(",", " ").split())
        return Grant(self.token_url, self.client_id, self.client_secret, scopes, self.trust())


def url_fault(url: str) -> str:
    """What is wrong with where a workflow sends to; empty if nothing is."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "not a URL"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return "expected http://... or https://... with a host"
    if "{{" in parts.netloc:
        return "a message cannot say which host it is sent to"
    if parts.username or parts.password:
        return "credentials do not belong in a URL; use token or authorization"
    return ""


def destination(url: str) -> str:
    """`scheme://host:port`, what breakers and limits are kept for."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or _PORTS[parts.scheme]}"


_PORTS = {"http": 80, "https": 443}


class Answer(Struct, frozen=True):
    """What came back; `body` is as much of it as was asked for."""

    status: int
    retry_after: float | None = None
    body: bytes = b""


class Web:
    """The HTTP client of one worker, for all its actions: one pool, and the OAuth2 tokens.

    Nothing is opened before the first call, which is made after the fork. `write` puts a line in
    the log for every token.
    """

    def __init__(self, write: Write) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._tokens = Tokens(self._ask, write)
        self._contexts: dict[Trust, ssl.SSLContext] = {}

    async def call(  # noqa: PLR0913, PLR0917 - an HTTP request has that many parts
        self,
        method: str,
        url: str,
        body: bytes,
        headers: dict[str, str],
        keep: int = 0,
        trust: Trust = PUBLIC,
    ) -> Answer:
        """The answer, whatever its status; DeliveryError if there is none."""
        target = URL(url, encoded=True)
        secured = self._context(trust) if target.scheme == "https" else True
        try:
            async with self._opened().request(
                *(method, target), data=body, headers=headers, allow_redirects=False, ssl=secured
            ) as answer:
                told = seconds(answer.headers.get("Retry-After", ""))
                return Answer(answer.status, told, await _read(answer, keep) if keep else b"")
        except (aiohttp.ClientError, ssl.SSLError, OSError) as fault:
            raise named(fault) from fault

    async def call_as(  # noqa: PLR0913, PLR0917 - an HTTP request has that many parts
        self,
        config: HttpConfig,
        method: str,
        url: str,
        body: bytes,
        headers: dict[str, str],
        keep: int = 0,
    ) -> Answer:
        """As `call`, authorised as the action says; a token refused with 401 is renewed once."""
        grant, trust = config.grant(), config.trust()
        if grant is None:
            return await self.call(method, url, body, headers | _static(config), keep, trust)
        token = await self._tokens.get(grant)
        answer = await self.call(method, url, body, headers | _bearer(token), keep, trust)
        if answer.status == 401:
            self._tokens.forget(grant, token)
            token = await self._tokens.get(grant)
            answer = await self.call(method, url, body, headers | _bearer(token), keep, trust)
        return answer

    async def close(self) -> None:
        """No connection is open."""
        session, self._session = self._session, None
        if session:
            await session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, limit_per_host=CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session

    def _context(self, trust: Trust) -> ssl.SSLContext:
        """Made once for each way to trust: connections with the same one share a pool."""
        if trust not in self._contexts:
            self._contexts[trust] = trust.context()
        return self._contexts[trust]

    async def _ask(self, grant: Grant) -> tuple[int, bytes]:
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        answer = await self.call("POST", grant.url, grant.form(), headers, KEPT, grant.trust)
        return answer.status, answer.body


def _static(config: HttpConfig) -> dict[str, str]:
    if config.authorization:
        return {"Authorization": config.authorization.reveal()}
    return _bearer(config.token.reveal()) if config.token else {}


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def _read(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise DeliveryError("ambiguous", f"the answer is longer than {limit} bytes")
    return bytes(body)


def named(fault: Exception) -> DeliveryError:
    """A fault of the connection, for what it says of the destination."""
    match fault:
        case aiohttp.ClientConnectorCertificateError():
            return DeliveryError("tls", "the destination's certificate is not trusted")
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return DeliveryError("tls", "no TLS with the destination")
        case aiohttp.ConnectionTimeoutError():
            return DeliveryError("timeout", "no connection in time", retryable=True)
        case aiohttp.ClientConnectorError():
            return DeliveryError("connection_error", "no connection", retryable=True)
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return DeliveryError("template", "the URL is not one once it is filled in")
    return DeliveryError(
        "ambiguous", "the connection broke before the whole answer", retryable=True
    )


def refused(answer: Answer, statuses: frozenset[int]) -> DeliveryError | None:
    """Why an answer is no confirmation; None if it is one. `statuses` are worth another try."""
    status = answer.status
    if 200 <= status < 300:
        return None
    text = f"the destination answered {status}"
    if status < 400:
        return DeliveryError("client_error", f"{text}; redirects are not followed")
    kind = _KINDS.get(status, "server_error" if status >= 500 else "client_error")
    return DeliveryError(kind, text, retryable=status in statuses, retry_after=answer.retry_after)


_KINDS = {401: "auth_error", 403: "auth_error", 429: "rate_limited"}


def seconds(asked: str) -> float | None:
    """Retry-After (RFC 9110, 10.2.3) as seconds from now, None if there is none to speak of."""
    asked = asked.strip()
    if asked.isascii() and asked.isdecimal() and len(asked) < 10:
        return float(asked)
    try:
        due = parsedate_to_datetime(asked)
        return max(0.0, (due - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
