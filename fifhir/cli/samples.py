"""Messages from files and folders, one after another; their size does not matter."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fifhir.batch import Miscount

CHUNK = 1 << 20  # bytes read at once
SUFFIXES = (".hl7", ".hl7v2", ".txt")


class Sample(NamedTuple):
    """One message: its file, its number in it from 1, the byte it begins at."""

    title: str
    number: int
    at: int
    raw: bytes


def end_quietly() -> None:
    """A reader that has seen enough (`| head`) ends us quietly, as it ends any other filter."""
    import signal

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def walk(name: str, miscounted: "Callable[[Miscount], None]" = lambda _: None) -> Iterator[Sample]:
    """Every message of a file, `-` for stdin. OSError if it cannot be read.

    `miscounted` is told of every trailer that counts something else than came.
    """
    from fifhir.batch import Splitter

    title, number, splitter = "stdin" if name == "-" else name, 0, Splitter()
    with ExitStack() as stack:
        stream = sys.stdin.buffer if name == "-" else stack.enter_context(open(name, "rb"))
        while True:
            chunk = stream.read(CHUNK)
            messages = splitter.feed(chunk) if chunk else splitter.finish()
            for raw, at in zip(messages, splitter.offsets, strict=True):
                number += 1
                yield Sample(title, number, at, raw)
            for miscount in splitter.miscounts:
                miscounted(miscount)
            if not chunk:
                return


def files(names: list[str], limit: int) -> list[str]:
    """The files named, those with HL7's suffixes for a folder, at most `limit`."""
    found: list[str] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            found += sorted(str(p) for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
        else:
            found.append(name)
    return found[:limit]


def unreadable(name: str, fault: OSError) -> str:
    """What is said of a file that cannot be read."""
    return f"{name}: {(fault.strerror or 'unreadable').lower()}"
