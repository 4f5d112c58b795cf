"""The log: one line of JSON an entry, or words at a terminal.

A line that cannot be written at once is dropped and counted: a full pipe or a reader that went
away never stops a loop or ends a process. Many processes share one pipe, so a line is at most
`LINE_LIMIT` bytes, which the kernel writes whole or not at all (PIPE_BUF, pipe(7)).
"""

import contextlib
import logging
import os
import re
import select
import socket
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, Protocol, TypeAlias

import msgspec

Level: TypeAlias = Literal["debug", "info", "warn", "error"]

LEVELS: dict[str, int] = {"debug": 0, "info": 1, "warn": 2, "error": 3}
LINE_LIMIT = 4096  # PIPE_BUF on Linux
BURST = 10  # equal complaints that are written before the rest is only counted
CALM = 10.0  # seconds between the lines that tell how often a complaint came again
KINDS = 256  # different complaints remembered; texts are fixed, so more are a mistake of ours

_PLAIN_WORDS = re.compile(r"[\w .,-]{0,200}")
_encode = msgspec.json.Encoder(enc_hook=lambda value: type(value).__name__).encode
_COLOURS = {"debug": "2", "info": "32", "warn": "33", "error": "31"}


class Write(Protocol):
    """Write one line, however often it comes; `fields` are its further keys (`logs.Log.write`)."""

    def __call__(self, level: str, message: str, /, **fields: object) -> None: ...


class Log:
    """Entries of one process, at `level` and above, on the file descriptor `fd`.

    `style` is "json" or "console"; empty means console at a terminal and JSON elsewhere. After a
    fork parent and child may both go on writing.
    """

    def __init__(
        self,
        fd: int = 1,
        level: Level = "info",
        style: Literal["json", "console", ""] = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.dropped = 0
        self.hidden = 0
        self._fd = fd
        self._least = LEVELS[level]
        self._render = _json if (style or _style(fd)) == "json" else _console
        self._clock = clock
        self._untold = 0
        self._complaints: dict[tuple[str, str], tuple[int, int, float]] = {}
        self._path = _path(fd)
        self._write = _writer(fd)

    def debug(self, message: str, /, **fields: object) -> None:
        self.write("debug", message, **fields)

    def info(self, message: str, /, **fields: object) -> None:
        self.write("info", message, **fields)

    def warn(self, message: str, /, **fields: object) -> None:
        """The entry is written unless equal ones have come in a flood; then it is counted."""
        self._complain("warn", message, fields)

    def error(self, message: str, /, **fields: object) -> None:
        """As `warn`, one level up."""
        self._complain("error", message, fields)

    def write(self, level: str, message: str, /, **fields: object) -> None:
        """The entry is written however often it comes, or counted as dropped."""
        if LEVELS[level] < self._least:
            return
        if self._untold:
            self._tell()
        self._put(self._render(level, message, fields))

    def level(self, least: Level) -> None:
        """From now on entries of this level and above are written."""
        self._least = LEVELS[least]

    def reopen(self) -> None:
        """The log is in the file of its old name again, for whoever has moved the file away."""
        if self._path:
            with contextlib.suppress(OSError):
                fresh = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
                os.dup2(fresh, self._fd)
                os.close(fresh)

    def _complain(self, level: str, message: str, fields: dict[str, object]) -> None:
        now = self._clock()
        written, hidden, since = self._complaints.get((level, message), (0, 0, now))
        if now - since >= CALM:
            fields = {**fields, "repeated": hidden} if hidden else fields
            written, hidden, since = (BURST - 1 if hidden else 0), 0, now
        if len(self._complaints) >= KINDS:
            self._complaints.clear()
        if written < BURST:
            self.write(level, message, **fields)
            written += 1
        else:
            hidden += 1
            self.hidden += 1
        self._complaints[level, message] = (written, hidden, since)

    def _tell(self) -> None:
        """The reader knows that lines are missing, once there is room to say so."""
        count, self._untold = self._untold, 0
        if not self._put(self._render("warn", "log lines dropped", {"count": count})):
            self._untold += count - 1
            self.dropped -= 1

    def _put(self, line: bytes) -> bool:
        try:
            if self._write(line) == len(line):
                return True
        except OSError:  # EAGAIN: full; EPIPE: nobody reads; ENOSPC: /dev/full
            pass
        self.dropped += 1
        self._untold += 1
        return False


def _style(fd: int) -> str:
    return "console" if os.isatty(fd) else "json"


def _path(fd: int) -> str:
    """The name of the regular file behind `fd`, empty for pipes and terminals."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}") if stat.S_ISREG(os.fstat(fd).st_mode) else ""
    except OSError:
        return ""


def _writer(fd: int) -> Callable[[bytes], int]:
    """What writes to `fd` without ever waiting for its reader.

    O_NONBLOCK belongs to the open file description, which the shell and the programs behind the
    pipe share; so a pipe or a terminal is opened once more, for us alone.
    """
    try:
        mode = os.fstat(fd).st_mode
    except OSError:  # closed from the start, `fi-fhir serve >&-`: no socket may get this number
        os.dup2(os.open(os.devnull, os.O_WRONLY), fd)
        return len
    if stat.S_ISREG(mode):
        return lambda line: os.write(fd, line)
    if stat.S_ISSOCK(mode):  # systemd's journal
        peer = socket.socket(fileno=os.dup(fd))
        return lambda line: peer.send(line, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    try:
        own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return lambda line: _write_if_ready(fd, line)
    return lambda line: os.write(own, line)


def _write_if_ready(fd: int, line: bytes) -> int:
    """For a pipe of another user: a writable pipe takes PIPE_BUF bytes without waiting."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return os.write(fd, line) if poll.poll(0) else 0


def _json(level: str, message: str, fields: dict[str, object]) -> bytes:
    entry = {"timestamp": _timestamp(), "level": level, "message": message}
    try:
        line = _encode({**entry, **fields}) + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair, which no JSON can hold
        fields, message = {}, message.encode("ascii", "replace").decode()
        line = b""
    if 0 < len(line) <= LINE_LIMIT:
        return line
    short = {name: field for name, field in fields.items() if len(_encode(field)) <= 200}
    kept = dict(list(short.items())[:8])
    return _encode({**entry, "message": message[:200], **kept, "truncated": True}) + b"\n"


def _console(level: str, message: str, fields: dict[str, object]) -> bytes:
    told = " ".join(f"{name}={_plain(str(field))}" for name, field in fields.items())
    colour = f"\033[{_COLOURS[level]}m{level:5}\033[0m"
    line = f"{_timestamp()[11:23]} {colour} {_plain(message)}  \033[2m{told}".encode()
    return line[: LINE_LIMIT - 5] + b"\033[0m\n"


def _plain(text: str) -> str:
    """The text without characters that could move a terminal's cursor or turn its script."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def _timestamp() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Foreign(logging.Handler):
    """What other libraries log, told in our way.

    Only the plain words at the beginning are kept, and of an exception its type and place: the
    rest may hold what a sender wrote (asyncio prints the arguments of a callback that failed).
    """

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, object] = {"logger": record.name}
        kind, _, trace = record.exc_info or (None, None, None)
        if kind is not None:
            fields["exception"] = kind.__name__
        if trace is not None:
            fields["place"] = place(trace)
        message = _PLAIN_WORDS.match(str(record.msg)).group()  # type: ignore[union-attr]
        (self._log.error if record.levelno >= logging.ERROR else self._log.warn)(message, **fields)


def place(trace: object) -> str:
    """file:line of the innermost frame, without any value."""
    while (deeper := getattr(trace, "tb_next", None)) is not None:
        trace = deeper
    code = getattr(getattr(trace, "tb_frame", None), "f_code", None)
    name = os.path.basename(getattr(code, "co_filename", "?"))
    return f"{name}:{getattr(trace, 'tb_lineno', 0)}"


def adopt(log: Log) -> None:
    """Warnings of asyncio, aiohttp and all others go to `log`, and nowhere else."""
    root = logging.getLogger()
    root.handlers[:] = [_Foreign(log)]
    root.setLevel(logging.WARNING)
