"""The head a connection sent last, so that the same head again need not be parsed.

A sender's requests differ in their body and in the digits of Content-Length, and the same bytes
mean the same each time: what was accepted with one number is accepted with another. Anything that
is not that very head with its whole body behind it goes to the parser, as if there was no memory.
"""

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from fifhir.access import Caller
from fifhir.ingress.exchange import Notes, Request
from fifhir.message import TOKENIZER

if TYPE_CHECKING or TOKENIZER == "compiled":  # all modules that are compiled, or none
    from fifhir._http1 import answer, body_of
else:
    from fifhir._http1_py import answer, body_of

__all__ = ["Head", "answer", "is_usual", "remembered"]

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
    caller: Caller | None = None

    def body(self, data: bytes, limit: int) -> int:
        """Where its body begins if `data` is this head and a whole body; else 0."""
        return body_of(data, self.opening, self.ending, limit)

    def request(self, data: bytes, begin: int) -> Request:
        """The request with this head whose body begins there."""
        size, body = len(data) - begin, data[begin:]
        request = Request(self.method, self.target, self.headers, True, body, size, self.notes)
        request.caller = self.caller
        return request


def is_usual(request: Request) -> bool:
    """Whether a request with this head may come again and mean the same.

    One that waited for a word from us, or ends its connection, or whose body is framed otherwise
    than by Content-Length, may not; nor one whose caller is counted, or is known for a time only.
    """
    return (
        request.keep_alive
        and (request.caller is None or request.caller.lasts)
        and not (request.http10 or request.chunked or request.by_hand)
        and b"expect" not in request.headers
    )


def remembered(data: bytes, request: Request) -> Head | None:
    """The head of a usual request, if `data` is that and no more."""
    headers, size = request.headers, request.size
    end = data.find(b"\r\n\r\n", 0, HEAD_LIMIT) + 4
    if end + size != len(data):
        return None
    lengths = list(_LENGTH.finditer(data, 0, end))
    if len(lengths) != 1 or lengths[0][1] != headers.get(b"content-length"):
        return None
    shared = {name: value for name, value in headers.items() if name != b"content-length"}
    start, stop = lengths[0].span(1)
    parts = data[:start], data[stop:end]
    return Head(*parts, request.method, request.target, shared, Notes(), request.caller)
