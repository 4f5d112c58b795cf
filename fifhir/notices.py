"""What the supervisor does is for the audit log, which only a worker can write: it posts a notice.

A notice is one datagram on a pair of sockets made before the first fork, so exactly one worker gets
it. One that the store does not take is posted again: by whom it is written does not matter.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from fifhir.errors import StoreError
from fifhir.store import Store

AGAIN = 5.0  # seconds until a notice that could not be written is tried again
LIMIT = 4096  # bytes of a notice


class Notice(Struct, frozen=True):
    """One row of the audit log to be."""

    who: str
    what: str
    details: dict[str, object]


class Notices:
    """The pair of sockets. It holds a few hundred notices; past that they are in the log alone."""

    def __init__(self) -> None:
        self._in, self._out = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in (self._in, self._out):
            end.setblocking(False)

    def post(self, who: str, what: str, details: Mapping[str, object]) -> bool:
        """Some worker will write this; False if there is no room for it."""
        return self._post(msgspec.json.encode(Notice(who, what, dict(details))))

    def _post(self, line: bytes) -> bool:
        with contextlib.suppress(OSError):
            return len(line) <= LIMIT and self._in.send(line) > 0
        return False

    async def write(self, store: Store, stop: asyncio.Event) -> None:
        """Whatever is posted is written to the store's audit log, until `stop` and none is left.

        It is not to be cancelled: what has been taken would be lost, or written twice.
        """
        stopping: asyncio.Task[Any] = asyncio.create_task(stop.wait())
        while (line := self._taken()) or not stop.is_set():
            if not line:
                await self._arrival(stopping)
            elif not await _written(store, line):
                await asyncio.wait({stopping}, timeout=AGAIN)
                self._post(line)
                if stop.is_set():  # the next worker's, or nobody's: the log has it
                    return

    def _taken(self) -> bytes:
        with contextlib.suppress(BlockingIOError):
            return self._out.recv(LIMIT)
        return b""

    async def _arrival(self, stopping: asyncio.Task[Any]) -> None:
        """There may be something to take, or it is time to stop."""
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._out, arrived.set)
        waiting: asyncio.Task[Any] = asyncio.create_task(arrived.wait())
        try:
            await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_reader(self._out)
            waiting.cancel()


async def _written(store: Store, line: bytes) -> bool:
    notice = msgspec.json.decode(line, type=Notice)
    try:
        await store.audit(notice.who, notice.what, notice.details)
    except StoreError:
        return False
    return True


def operator() -> str:
    """Who runs this process, or whom they became it for."""
    return os.environ.get("SUDO_USER") or f"uid {os.getuid()}"
