"""`fi-fhir parse`: files or stdin in, one JSON event a message out.

Everything streams: a file is read, cut, parsed and written a chunk at a time, so its size does
not matter. A message that cannot be read is a line on stderr and status 1; the rest come out.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from fifhir.cli.progress import Bar

if TYPE_CHECKING:
    from fifhir.batch import Miscount
    from fifhir.event import Warning
    from fifhir.intake import Feed
    from fifhir.profile import Profile

CHUNK = 1 << 20  # bytes read at once
FORMATS = ("hl7v2", "hl7")


def parse(  # noqa: PLR0913, PLR0917 - each is an option of the command
    files: Annotated[
        list[str] | None, typer.Argument(help="Files to read; - or none reads stdin.")
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", "-f", metavar="hl7v2", help="What the input is.")
    ] = "hl7v2",
    source: Annotated[
        str, typer.Option("--source", "-s", help="Name of the sender, as events carry it.")
    ] = "unknown",
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="FILE", help="The source profile (YAML).")
    ] = None,
    pretty: Annotated[
        bool,
        typer.Option("--pretty", "-p", help="Indent one message; several stay one a line."),
    ] = False,
    warnings: Annotated[
        bool, typer.Option("--warnings", "-w", help="Tell on stderr what was tolerated.")
    ] = False,
) -> None:
    """Turn HL7 v2 messages and batch files into semantic events, one JSON object a line."""
    if format_ not in FORMATS:
        raise typer.BadParameter(
            f"'{format_}' cannot be read; only hl7v2 can", param_hint="--format"
        )
    from fifhir.cli.samples import end_quietly
    from fifhir.intake import Feed

    end_quietly()
    names = files or ["-"]
    if names == ["-"] and sys.stdin.isatty():
        print("reading HL7 v2 from the terminal, Ctrl-D ends it", file=sys.stderr)
    run = _Run(
        Feed(source=source, profile=read_profile(profile)),
        _Out(sys.stdout.buffer, pretty),
        warnings,
        Bar(names),
        len(names) > 1,
    )
    with run.bar:
        for name in names:
            run.file(name)
    run.out.finish()
    if run.broken and run.seen > 1:
        print(f"{run.broken} of {run.seen} messages could not be read", file=sys.stderr)
    if run.failed:
        raise typer.Exit(1)


def read_profile(path: str | None) -> "Profile":
    """The profile of a file, the built-in one without; ConfigError if it is faulty."""
    from fifhir.profile import DEFAULT
    from fifhir.profile.loading import load

    return load(path) if path else DEFAULT


@dataclass(slots=True)
class _Run:
    """One call of the command: what it has seen, and what went wrong."""

    feed: "Feed"
    out: "_Out"
    warnings: bool
    bar: Bar
    many: bool
    seen: int = 0
    broken: int = 0
    failed: bool = False

    def file(self, name: str) -> None:
        """Every message of the file is on stdout, or its fault on stderr."""
        title = "stdin" if name == "-" else name
        try:
            with ExitStack() as stack:
                stream = sys.stdin.buffer if name == "-" else stack.enter_context(open(name, "rb"))
                if not self._stream(stream, title):
                    self._fail(f"{title}: no message in it")
        except OSError as fault:
            self._fail(f"{title}: {(fault.strerror or 'unreadable').lower()}")

    def _stream(self, stream: BinaryIO, title: str) -> int:
        """How many messages there were."""
        from fifhir.batch import Splitter

        splitter, number = Splitter(), 0
        for chunk in _chunks(stream):
            messages = splitter.feed(chunk)
            number = self._messages(messages, splitter.offsets, title, number)
            self._count(splitter.miscounts, title)
            self.bar.advance(len(chunk), self.seen)
        messages = splitter.finish()
        number = self._messages(messages, splitter.offsets, title, number)
        self._count(splitter.miscounts, title)
        return number

    def _messages(self, messages: list[bytes], offsets: list[int], title: str, number: int) -> int:
        """The number of the last message, when that of the one before the first was `number`."""
        from fifhir.errors import MessageError
        from fifhir.intake import read_json

        lines, feed, before = [], self.feed, number
        for raw in messages:
            number += 1
            try:
                _, event, warnings = read_json(raw, feed)
            except MessageError as fault:
                self.broken += 1
                at = offsets[number - before - 1]
                self._fail(f"{title}: message {number} (byte {at}): {fault.location}: {fault}")
            else:
                lines.append(event)
                if self.warnings and warnings:
                    self._warn(warnings, title, number)
        self.seen += len(messages)
        self.out.put(lines)
        return number

    def _count(self, miscounts: "list[Miscount]", title: str) -> None:
        """Told whether warnings are asked for or not: something may have been lost on the way."""
        for each in miscounts:
            self.bar.say(f"{title}: byte {each.at}: {each}")

    def _warn(self, warnings: "tuple[Warning, ...]", title: str, number: int) -> None:
        told = [f"{title}: message {number}"] if self.many or number > 1 else []
        told.append(f"Warnings ({len(warnings)}):")
        for each in warnings:
            where = f" (at {each.path})" if each.path else ""
            told.append(f"  [{each.phase}] {each.code}: {each.message}{where}")
        self.bar.say("\n".join(told))

    def _fail(self, text: str) -> None:
        self.failed = True
        self.bar.say(text)


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    """What there is, as soon as it is there: a pipe is not waited on until a chunk is full."""
    read = getattr(stream, "read1", stream.read)
    while chunk := read(CHUNK):
        yield chunk


@dataclass(slots=True)
class _Out:
    """Events on stdout, written a chunk at a time.

    With `pretty` the first event waits until it is known whether it stays alone.
    """

    stream: BinaryIO
    pretty: bool
    waiting: list[bytes] = field(default_factory=list)

    def put(self, lines: list[bytes]) -> None:
        if self.pretty:
            self.waiting += lines
            if len(self.waiting) < 2:
                return
            lines, self.waiting, self.pretty = self.waiting, [], False
        if lines:
            self.stream.write(b"\n".join(lines) + b"\n")
            self.stream.flush()

    def finish(self) -> None:
        """The event that stayed alone is written, indented."""
        if self.waiting:
            import msgspec

            self.stream.write(msgspec.json.format(self.waiting[0], indent=2) + b"\n")
        self.stream.flush()
