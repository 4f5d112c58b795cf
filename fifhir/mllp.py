"""MLLP framing without sockets: bytes in, whole messages out.

A frame on the wire is `VT message FS CR`, with VT=0x0b, FS=0x1c, CR=0x0d (HL7 Transport
Specification: MLLP, Release 1). What is read from bytes that are no such thing:

- Between frames, NUL, CR, LF, blank and tab are passed over. Anything else up to the next VT is
  dropped and counted in `dropped`; more than `GARBAGE_LIMIT` bytes of it in a row are the fault
  `garbage`: whoever sends that does not speak MLLP.
- FS ends a frame only if CR follows; any other FS belongs to the message, as in UTF-16 it may.
- VT followed by `MSH` inside a frame begins the frame anew: the sender gave up and started over,
  and two messages must not become one. What came before is dropped and counted in `restarts`,
  too. Any other VT belongs to the message, where word processors put it for a line break.
- A frame of more than `limit` bytes, counted from its first VT, is the fault `too_large`.
- At the end of the stream a frame without its end is the fault `unfinished`, or `no_cr` if only
  the CR is missing. It is no message, and nobody may acknowledge it.

However the stream is cut into chunks, the same messages come out.
"""

VT, FS = 0x0B, 0x1C
RESTART = b"\x0bMSH"
GARBAGE_LIMIT = 4096
FAULTS = ("too_large", "garbage", "unfinished", "no_cr")
_PASSED_OVER = b"\0\r\n \t"


class Framer:
    """Cuts one stream into messages of at most `limit` bytes; holds no more than one and a chunk.

    `fault` names what ended the stream's use: from then on nothing comes out. `begun` says that
    something waits for its end.
    """

    def __init__(self, limit: int) -> None:
        self.fault = ""
        self.dropped = 0
        self.restarts = 0
        self._limit = limit
        self._pending = bytearray()  # from a VT on, or empty
        self._searched = 0
        self._garbage = 0

    @property
    def begun(self) -> bool:
        return bool(self._pending or self._garbage) and not self.fault

    @property
    def held(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return len(self._pending)

    def feed(self, chunk: bytes) -> list[bytes]:
        """The messages that are complete now, in order."""
        if self.fault:
            return []
        if not self._pending:
            return self._cut(chunk, self._find_start(chunk, 0), 0)
        self._pending += chunk
        pending, self._pending = self._pending, bytearray()
        return self._cut(pending, 0, self._searched)

    def finish(self) -> str:
        """The stream has ended; the fault it ended with, or nothing."""
        if self._pending and not self.fault:
            self.fault = "no_cr" if self._pending[-1] == FS else "unfinished"
            self._drop(len(self._pending))
            self._pending = bytearray()
        elif self._garbage and not self.fault:
            self.fault = "garbage"
        return self.fault

    def _cut(self, data: bytes | bytearray, start: int, searched: int) -> list[bytes]:
        """The frames from the VT at `start` on; what is left is kept."""
        messages: list[bytes] = []
        while start < len(data) and not self.fault:
            end = _find_end(data, max(start + 1, searched))
            if end < 0:
                self._keep(data, start)
                break
            if end - start - 1 > self._limit:
                self.fault = "too_large"
                self._drop(end - start)
                break
            messages.append(self._message(data, start + 1, end))
            start = self._find_start(data, end + 2)
        return messages

    def _message(self, data: bytes | bytearray, start: int, end: int) -> bytes:
        if data.find(VT, start, end) >= 0 and (again := data.rfind(RESTART, start, end)) >= 0:
            self.restarts += 1
            self._drop(again - start + 1)
            start = again + 1
        return bytes(data[start:end])

    def _keep(self, data: bytes | bytearray, start: int) -> None:
        length = len(data) - start - 1
        if length > self._limit + 1:  # the last byte may be the FS
            self.fault = "too_large"
            self._drop(length)
            return
        self._pending = (
            data if isinstance(data, bytearray) and not start else bytearray(data[start:])
        )
        self._searched = max(len(self._pending) - 1, 1)

    def _find_start(self, data: bytes | bytearray, at: int) -> int:
        """Where the next VT is, or the end of `data`; what stands before it is passed over."""
        if at == len(data):
            return at
        if data[at] == VT:
            self._garbage = 0
            return at
        start = data.find(VT, at)
        found = start >= 0
        garbage = len(data[at : start if found else len(data)].translate(None, _PASSED_OVER))
        self._garbage += garbage
        self._drop(garbage)
        if self._garbage > GARBAGE_LIMIT:
            self.fault = "garbage"
        if found:
            self._garbage = 0
        return start if found else len(data)

    def _drop(self, count: int) -> None:
        self.dropped += count


def _find_end(data: bytes | bytearray, at: int) -> int:
    """Where the next FS CR is, or -1. One byte is found many times as fast as two."""
    at = data.find(FS, at)
    while at >= 0 and data[at + 1 : at + 2] != b"\r":
        at = data.find(FS, at + 1)
    return at


def frame(message: bytes) -> bytes:
    """The bytes that carry `message`; to be written at once, or senders see half a frame."""
    return b"\x0b%b\x1c\r" % message
