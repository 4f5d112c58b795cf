"""The `webhook` action: the event as JSON to a URL, which confirms with a status below 300.

The host is the workflow's to say, never a message's, and a redirect is not followed. Nothing of an
answer's body is kept: it may repeat what was sent.
"""

import re
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit

import aiohttp
from msgspec import Meta

from fifhir.errors import DeliveryError
from fifhir.logs import Write
from fifhir.parcel import Parcel
from fifhir.resilience import Resilience
from fifhir.schema import Faults
from fifhir.secret import NONE, Secret

CONNECTIONS = 100  # of one action in one worker at a time
_PRINTABLE = re.compile(r"[\x20-\x7e]*")
_AMBIGUOUS = (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError)


class WebhookConfig(
    Resilience,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="webhook",
):
    """Send the event as JSON to a URL. A status below 300 confirms it."""

    url: Annotated[
        str, Meta(max_length=2048, description="Where to; http or https, no template in the host.")
    ]
    method: Annotated[Literal["POST", "PUT", "PATCH"], Meta(description="How it is sent.")] = "POST"
    token: Annotated[Secret, Meta(description="Sent as a Bearer token.")] = NONE
    authorization: Annotated[
        Secret, Meta(description="The whole Authorization header; goes over token.")
    ] = NONE
    user_agent: Annotated[str, Meta(max_length=256, description="The User-Agent header.")] = (
        "fi-fhir/1.0"
    )

    def faults(self) -> Faults:
        yield from super().faults()
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            yield ("url",), "expected http://... or https://... with a host"
        elif "{{" in parts.netloc:
            yield ("url",), "a message cannot say which host it is sent to"
        elif parts.username or parts.password:
            yield ("url",), "credentials do not belong in a URL; use token or authorization"
        for name in ("token", "authorization", "user_agent"):
            value = getattr(self, name)
            text = value.reveal() if isinstance(value, Secret) else value
            if not _PRINTABLE.fullmatch(text):
                yield (name,), "a header has printable ASCII only"


class WebhookSink:
    """Carries out one `webhook` action of one route."""

    def __init__(self, config: WebhookConfig, route: str, write: Write) -> None:
        self._config = config
        self._statuses = config.statuses()
        parts = urlsplit(config.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        self.destination = f"{parts.scheme}://{parts.hostname}:{port}"
        self._session: aiohttp.ClientSession | None = None
        self._headers = {"Content-Type": "application/json", "User-Agent": config.user_agent}
        if config.authorization:
            self._headers["Authorization"] = config.authorization.reveal()
        elif config.token:
            self._headers["Authorization"] = f"Bearer {config.token.reveal()}"

    async def deliver(self, parcel: Parcel) -> None:
        """The destination answered with a status below 300. Its key is in Idempotency-Key."""
        headers = self._headers | {"Idempotency-Key": parcel.key}
        try:
            async with self._opened().request(
                self._config.method,
                self._config.url,
                data=parcel.written.json,
                headers=headers,
                allow_redirects=False,
            ) as answer:
                status, asked = answer.status, answer.headers.get("Retry-After", "")
                answer.release()
        except aiohttp.ClientSSLError as fault:
            raise DeliveryError("tls", "the destination's certificate is not trusted") from fault
        except ssl.SSLError as fault:
            raise DeliveryError("tls", "no TLS with the destination") from fault
        except _AMBIGUOUS as fault:
            raise DeliveryError(
                "ambiguous", "the connection broke before the answer", retryable=True
            ) from fault
        except (aiohttp.ClientError, OSError) as fault:
            raise DeliveryError(
                "connection_error", "the destination cannot be reached", retryable=True
            ) from fault
        if status >= 300:
            raise self._refusal(status, asked)

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=None, connect=10),
                auto_decompress=False,
            )
        return self._session

    def _refusal(self, status: int, asked: str) -> DeliveryError:
        kind = "server_error" if status >= 500 else "client_error"
        if status in {401, 403}:
            kind = "auth_error"
        return DeliveryError(
            kind,
            f"the destination answered {status}",
            retryable=status in self._statuses,
            retry_after=_seconds(asked),
        )


def _seconds(asked: str) -> float | None:
    """Retry-After (RFC 9110, 10.2.3) as seconds from now."""
    if asked.isdecimal() and len(asked) < 10:
        return float(asked)
    try:
        return max(0.0, (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
