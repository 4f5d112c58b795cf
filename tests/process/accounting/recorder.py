"""The destination of all that is accounted for."""

import asyncio
import json
import re
from collections import Counter, defaultdict

from tests.proxy import Loop

_LENGTH = re.compile(r"(?i)content-length: (\d+)")
_KEY = re.compile(r"(?i)idempotency-key: (\S+)")


class Recorder:
    """A web server with a path for each route, which notes all it confirms before it does.

    `order` are the control ids of a route in the order of their first arrival, `keys` the keys
    that each came with. While it is `down` it confirms nothing.
    """

    def __init__(self, loop: Loop) -> None:
        self.order: dict[str, list[str]] = defaultdict(list)
        self.seen: dict[str, Counter[str]] = defaultdict(Counter)
        self.keys: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.down = False
        self.port = loop.serve(self._talk)

    def duplicates(self) -> int:
        return sum(seen.total() - len(seen) for seen in self.seen.values())

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length, key = _LENGTH.search(head), _KEY.search(head)
                assert length
                assert key
                event = json.loads(await reader.readexactly(int(length[1])))
                if not self.down:
                    self._note(head.split()[1][1:], event["source_message_id"], key[1])
                status = b"503 No" if self.down else b"200 OK"
                writer.write(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % status)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.transport.abort()

    def _note(self, route: str, control: str, key: str) -> None:
        seen = self.seen[route]
        if control not in seen:
            self.order[route].append(control)
        seen[control] += 1
        self.keys[route, control].add(key)
