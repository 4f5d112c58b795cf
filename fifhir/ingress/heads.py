"""The head a connection sent last, so that the same head again need not be parsed.

A sender's requests differ in their body and in the digits of Content-Length, and the same bytes
mean the same each time: what was accepted with one number is accepted with another. Anything that
is not that very head with its whole body behind it goes to the parser, as if there was no memory.
"""

import re

from msgspec import Struct

from fifhir.ingress.exchange import Notes, Request

HEAD_LIMIT = 2048  # bytes of a head worth remembering; each connection holds one
DIGITS_LIMIT = 15  # of a Content-Length; a parser's counter does not overflow with as many
_LENGTH = re.compile(rb"\r\nContent-Length:[ \t]*([0-9]{1,15})\r\n", re.IGNORECASE)


class Head(Struct, frozen=True, gc=False):
    """A head in two halves, the digits of its Content-Length between them.

    `headers` are those of every request with this head; Content-Length is not among them.
    """

    opening: bytes
    ending: bytes
    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    notes: Notes

    def request(self, data: bytes, limit: int) -> Request | None:
        """The request if `data` is this head and its whole body of at most `limit` bytes."""
        start = len(self.opening)
        end = data.find(b"\r", start, start + DIGITS_LIMIT + 1)
        if end < 0 or not data.startswith(self.opening):
            return None
        digits = data[start:end]
        if not digits.isdigit() or not data.startswith(self.ending, end):
            return None
        size, begin = int(digits), end + len(self.ending)
        if begin + size != len(data) or size > limit:
            return None
        return Request(self.method, self.target, self.headers, True, data[begin:], size, self.notes)


def is_usual(request: Request) -> bool:
    """Whether a request with this head may come again and mean the same.

    One that waited for a word from us, or ends its connection, or whose body is framed otherwise
    than by Content-Length, may not.
    """
    return (
        request.keep_alive
        and not (request.http10 or request.chunked or request.by_hand)
        and b"expect" not in request.headers
    )


def remembered(
    data: bytes, method: bytes, target: bytes, headers: dict[bytes, bytes], size: int
) -> Head | None:
    """The head of a usual request with a body of `size` bytes, if `data` is that and no more."""
    end = data.find(b"\r\n\r\n", 0, HEAD_LIMIT) + 4
    if end + size != len(data):
        return None
    lengths = list(_LENGTH.finditer(data, 0, end))
    if len(lengths) != 1 or lengths[0][1] != headers.get(b"content-length"):
        return None
    shared = {name: value for name, value in headers.items() if name != b"content-length"}
    start, stop = lengths[0].span(1)
    return Head(data[:start], data[stop:end], method, target, shared, Notes())
