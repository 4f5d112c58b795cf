"""A TCP proxy between two parties that treats what passes as a bad network does.

Moods: `refuse` resets whoever connects, `reset` whoever is connected too, `stall` holds everything
back for as long as it lasts, `latency` holds each piece back for a moment, `cut` lets requests
through and closes instead of the answer, `half` closes in the middle of an answer, `garbage`
answers with noise of the same length.
"""

import asyncio
import contextlib
import os
import random
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
Ends: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]

WELL = "well"
MOODS = ("refuse", "reset", "stall", "latency", "cut", "half", "garbage")
PIECE = 1 << 16  # bytes


class Loop(threading.Thread):
    """An event loop in a thread of its own, for servers that tests talk to from outside."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self.start()

    def run(self) -> None:
        self._loop.run_forever()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def serve(self, talk: Callable[..., Awaitable[None]]) -> int:
        """The port of loopback at which `talk` is had with whoever connects."""
        server = self.do(asyncio.start_server(talk, "127.0.0.1", 0))
        self._servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    def call(self, work: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(work)

    def stop(self) -> None:
        """Nothing runs in it any more."""

        async def end() -> None:
            self._loop.set_exception_handler(lambda *_: None)  # whoever is cut off complains
            for server in self._servers:
                server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0.1)  # for transports to close

        self.do(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.join(30)
        self._loop.close()


class Proxy:
    """Listens on `port` of loopback and passes everything on to where `connect` leads."""

    def __init__(self, loop: Loop, connect: Callable[[], Awaitable[Ends]]) -> None:
        self._loop = loop
        self._connect = connect
        self._mood = WELL
        self._open: set[asyncio.StreamWriter] = set()
        self._calm = asyncio.Event()
        self.port = loop.serve(self._talk)

    def feel(self, mood: str) -> None:
        """From now on everything that passes is treated so."""
        self._loop.call(lambda: self._feel(mood))

    def _feel(self, mood: str) -> None:
        self._mood = mood
        self._calm.clear() if mood == "stall" else self._calm.set()
        if mood == "reset":
            for writer in tuple(self._open):
                _reset(writer)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mood in {"refuse", "reset"}:
            _reset(writer)
            return
        try:
            up_reader, up_writer = await self._connect()
        except OSError:
            _reset(writer)
            return
        both = {writer, up_writer}
        self._open |= both
        try:
            await asyncio.gather(
                self._pass(reader, up_writer, self._request),
                self._pass(up_reader, writer, self._answer),
            )
        except (OSError, _End):
            pass
        finally:
            self._open -= both
            for each in both:
                each.transport.abort()

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        treat: Callable[[bytes, asyncio.StreamWriter], bytes],
    ) -> None:
        while piece := await reader.read(PIECE):
            if self._mood == "latency":
                await asyncio.sleep(random.uniform(0.01, 0.2))  # noqa: S311 - no secret
            while self._mood == "stall":
                await self._calm.wait()
            writer.write(treat(piece, writer))
            await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()

    @staticmethod
    def _request(piece: bytes, _: asyncio.StreamWriter) -> bytes:
        return piece

    def _answer(self, piece: bytes, writer: asyncio.StreamWriter) -> bytes:
        if self._mood == "cut":
            raise _End
        if self._mood == "half":
            writer.write(piece[: len(piece) // 2])
            raise _End
        return os.urandom(len(piece)) if self._mood == "garbage" else piece


class _End(Exception):
    """The connection ends here."""


def _reset(writer: asyncio.StreamWriter) -> None:
    """The other side sees a reset (RST), not an end."""
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
