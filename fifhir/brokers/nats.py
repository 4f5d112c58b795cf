"""A connection to NATS that ends when it breaks: who needs it opens another."""

import asyncio
from contextlib import suppress

import nats.errors
from nats.aio.client import Client

from fifhir.brokers import CONNECT, Login

CLOSING = 5.0  # seconds


async def connect(login: Login) -> Client:
    """A connection to one of the servers. Raises the last one's OSError or nats.errors.Error."""
    scheme = "tls" if login.trust else "nats"
    client, faults = Client(), _Faults(len(login.servers))
    try:
        async with asyncio.timeout(CONNECT):
            await client.connect(
                [f"{scheme}://{server}" for server in login.servers],
                name="fi-fhir",
                error_cb=faults.note,
                allow_reconnect=False,
                connect_timeout=int(CONNECT),
                reconnect_time_wait=0,
                tls=login.trust.context() if login.trust else None,
                user=login.username or None,
                password=login.password.reveal() or None,
            )
    except BaseException:
        await close(client)
        raise
    faults.left = -1
    return client


async def close(client: Client) -> None:
    """The connection is gone, in whatever state it was."""
    with suppress(nats.errors.Error, OSError, TimeoutError):
        async with asyncio.timeout(CLOSING):
            await client.close()


class _Faults:
    """Lets a connection fail once every server has; the library would ask them for ever."""

    def __init__(self, servers: int) -> None:
        self.left = servers

    async def note(self, fault: Exception) -> None:
        self.left -= 1
        if self.left == 0:
            raise fault
