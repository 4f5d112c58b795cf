"""One mail to one SMTP server (RFC 5321), and how far it came when something went wrong.

The steps are taken one by one: until the text is sent nothing has happened and another try is
safe; once it is sent and no answer comes, nobody knows.
"""

import asyncio
import ssl
from collections.abc import Iterable
from contextlib import suppress
from typing import cast

import aiosmtplib
from aiosmtplib import SMTP

from fifhir.errors import DeliveryError
from fifhir.secret import Secret

GOODBYE = 2.0  # seconds


class _Line(SMTP):
    """A connection that is gone once it is closed: nobody waits for the other side's goodbye."""

    def close(self) -> None:
        if self.transport is not None:
            cast(asyncio.Transport, self.transport).abort()
        super().close()


class Server:
    """A server, called anew for every mail.

    With `context` TLS is spoken: `at_once`, or after STARTTLS, without which nothing is sent.
    """

    def __init__(  # noqa: PLR0913 - what a server is known by
        self,
        host: str,
        port: int,
        timeout: float,
        *,
        username: str,
        password: Secret,
        context: ssl.SSLContext | None,
        at_once: bool,
    ) -> None:
        self._host, self._port, self._timeout = host, port, timeout
        self._username, self._password = username, password
        self._context = context
        self._at_once = at_once

    async def take(self, sender: str, recipients: Iterable[str], text: bytes) -> None:
        """The server has taken the text for every recipient; none has it if one is refused."""
        server = _Line(
            hostname=self._host,
            port=self._port,
            username=self._username or None,
            password=self._password.reveal() or None,
            use_tls=self._at_once,
            start_tls=self._context is not None and not self._at_once,
            tls_context=self._context,
            timeout=self._timeout,
        )
        try:
            await self._prepare(server, sender, recipients)
            await _send(server, text)
            await _leave(server)
        finally:
            server.close()

    async def _prepare(self, server: SMTP, sender: str, recipients: Iterable[str]) -> None:
        """The server knows all but the text. If that fails, nothing has happened."""
        try:
            async with asyncio.timeout(self._timeout / 2):
                await server.connect()
                await server.mail(sender)
                for each in recipients:
                    await server.rcpt(each)
        except (aiosmtplib.SMTPException, OSError, ValueError) as fault:
            raise _unbegun(fault) from fault


async def _send(server: SMTP, text: bytes) -> None:
    try:
        await server.data(text)
    except aiosmtplib.SMTPResponseException as fault:
        raise _answered(fault.code) from fault
    except (aiosmtplib.SMTPException, OSError) as fault:
        raise DeliveryError("ambiguous", "email: no answer to the text") from fault


async def _leave(server: SMTP) -> None:
    """The server was told goodbye; the mail is its own already, whatever it says to that."""
    with suppress(aiosmtplib.SMTPException, OSError):
        await server.quit(timeout=GOODBYE)


def _unbegun(fault: Exception) -> DeliveryError:
    """What went wrong before the text was sent."""
    match fault.__cause__ if isinstance(fault, aiosmtplib.SMTPConnectError) else fault:
        case ssl.SSLCertVerificationError():
            return DeliveryError("tls", "email: the server's certificate is not trusted")
        case ssl.SSLError():
            return DeliveryError("tls", "email: no TLS with the server")
    match fault:
        case aiosmtplib.SMTPResponseException():
            login = isinstance(fault, aiosmtplib.SMTPAuthenticationError)
            return _answered(fault.code, login=login)
        case OSError():
            return DeliveryError("connection_error", "email: no connection", retryable=True)
        case ValueError():
            return DeliveryError("template", "email: an address cannot be sent")
    return DeliveryError("tls", "email: the server has no STARTTLS, or no login that we know")


def _answered(code: int, *, login: bool = False) -> DeliveryError:
    """4yz may go well another time, 5yz never will (RFC 5321, 4.2.1)."""
    again = 400 <= code < 500
    kind = "auth_error" if login else "server_error" if again else "client_error"
    return DeliveryError(kind, f"email: the server answered {code}", retryable=again)
