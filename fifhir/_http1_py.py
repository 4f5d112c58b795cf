"""What `_http1.pyx` does fast, in plain Python: its specification."""

import re

_LENGTH = re.compile(rb"[0-9]{1,15}")  # a parser's counter does not overflow with as many


def body_of(data: bytes, opening: bytes, ending: bytes, limit: int) -> int:
    """Where the body begins, if `data` is a head that is known and its whole body; 0 if not.

    The head is `opening`, the digits of its Content-Length, and `ending`. The body has at most
    `limit` bytes, and nothing comes behind it.
    """
    digits = _LENGTH.match(data, len(opening))
    if digits is None or not data.startswith(opening) or not data.startswith(ending, digits.end()):
        return 0
    start = digits.end() + len(ending)
    size = int(digits[0])
    return start if size <= limit and start + size == len(data) else 0


def answer(head: tuple[bytes, ...], body: tuple[bytes, ...]) -> bytes:
    """An answer in one piece: the lines of its head, Content-Length, and the body."""
    size = sum(map(len, body))
    return b"".join((*head, b"Content-Length: %d\r\n\r\n" % size, *body))
