"""A YAML text as a tree in which every key and value knows its place (file:line:column).

Built from the parser's flat events, not from its recursive composer, so that depth and size are
under our own caps, a duplicate key is seen, and no tag can construct anything. Scalars stay text:
what a scalar means is decided by the type that reads it (`schema.py`), so `NO`, `012` and `1.10`
are what the operator wrote.
"""

import re
from collections.abc import Mapping as Environ
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from fifhir.errors import Finding

TEXT_LIMIT = 1 << 20  # characters; ten times the largest hand-written workflow anybody has shown
NODE_LIMIT = 50_000  # nodes after aliases are followed: a few lines of aliases can stand for 10^9
DEPTH_LIMIT = 32

_REFERENCE = re.compile(
    r"\$\$\{|\$\{(?:file:([^}]+)\}|secret:([A-Za-z0-9_.-]+)\}"
    r"|([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|)"
)
PROVIDER = "FI_FHIR_SECRETS_PROVIDER"  # where ${secret:NAME} comes from: env or file
PREFIX = "FI_FHIR_SECRETS_PREFIX"  # env: what stands before the name of the variable
FOLDER = "FI_FHIR_SECRETS_PATH"  # file: the folder of files, each called after its secret
SECRETS = "/run/secrets"


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value as text; `plain` is false when it was quoted, a block, or came from a variable.

    `written` is how it stands in the file, quotes, line ends and all.
    """

    place: str
    text: str
    plain: bool = True
    weight: int = 1
    written: str = field(default="", compare=False, repr=False)

    @property
    def null(self) -> bool:
        """Whether nothing was written here (an empty value, `~` or `null`)."""
        return self.plain and self.text in ("", "~", "null", "Null", "NULL")


@dataclass(slots=True)
class Sequence:
    """A list; `weight` counts every node in it, aliases followed."""

    place: str
    items: "list[Node]" = field(default_factory=list)
    weight: int = 1


@dataclass(slots=True)
class Mapping:
    """Keys in the order written, each with the place of the key and its value."""

    place: str
    entries: "dict[str, Entry]" = field(default_factory=dict)
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's place and its value."""

    place: str
    node: "Node"


Node: TypeAlias = Scalar | Sequence | Mapping


class _Stop(Exception):
    """The rest of the text is not worth reading; the finding says why."""

    def __init__(self, place: str, text: str) -> None:
        super().__init__(text)
        self.finding = Finding(place, text, "FF100")


def compose(
    text: str, name: str, environ: Environ[str, str] | None = None
) -> tuple[Node | None, list[Finding]]:
    """The tree of `text` and what is wrong with it; no tree if it cannot be read to its end.

    With `environ` given, `${NAME}`, `${NAME:-default}`, `${file:PATH}` and `${secret:NAME}` in
    values are replaced (`$${` is a literal `${`); a relative path starts where the file `name` is.
    """
    import yaml  # noqa: PLC0415 - 35 ms that `fi-fhir parse` need not pay

    composer = _Composer(name, environ, text)
    if len(text) > TEXT_LIMIT:
        return None, [Finding(name, f"larger than {TEXT_LIMIT} characters", "FF100")]
    try:
        for event in yaml.parse(text, yaml.CSafeLoader):
            composer.take(event)
    except _Stop as stop:
        return None, [*composer.findings, stop.finding]
    except yaml.YAMLError as fault:
        return None, [*composer.findings, _syntax(fault, name, text)]
    if composer.root is None:
        return None, [Finding(f"{name}:1:1", "the file is empty", "FF100")]
    return composer.root, composer.findings


def _syntax(fault: Exception, name: str, text: str) -> Finding:
    mark = getattr(fault, "problem_mark", None)
    if mark is None:  # a character YAML does not allow: only its offset is known
        before = text[: getattr(fault, "position", 0)]
        place = f"{name}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
        return Finding(place, f"not YAML: {getattr(fault, 'reason', 'unreadable')}", "FF100")
    context = getattr(fault, "context", None)
    problem = getattr(fault, "problem", None) or "unreadable"
    where = f"{name}:{mark.line + 1}:{mark.column + 1}"
    return Finding(where, f"not YAML: {problem}" + (f" {context}" if context else ""), "FF100")


@dataclass(slots=True)
class _Frame:
    """A collection that is still open, and the key that waits for its value."""

    node: Sequence | Mapping
    anchor: str | None
    key: Scalar | None = None


class _Composer:
    """Turn parser events into nodes, one event at a time, with an explicit stack.

    Events and marks are typed Any: the C parser and the stubs have different classes for them.
    """

    def __init__(self, name: str, environ: Environ[str, str] | None, text: str) -> None:
        self.name = name
        self.environ = environ
        self._text = text
        self.root: Node | None = None
        self.findings: list[Finding] = []
        self._open: list[_Frame] = []
        self._anchors: dict[str, Node] = {}

    def take(self, event: Any) -> None:
        match type(event).__name__:
            case "ScalarEvent":
                self._refuse_tag(event)
                self._close(self._scalar(event), event.anchor)
            case "SequenceStartEvent":
                self._refuse_tag(event)
                self._start(Sequence(self._place(event.start_mark)), event.anchor)
            case "MappingStartEvent":
                self._refuse_tag(event)
                self._start(Mapping(self._place(event.start_mark)), event.anchor)
            case "SequenceEndEvent" | "MappingEndEvent":
                frame = self._open.pop()
                self._close(frame.node, frame.anchor)
            case "AliasEvent":
                self._add(self._aliased(event), self._place(event.start_mark))
            case "DocumentStartEvent" if self.root is not None:
                raise _Stop(self._place(event.start_mark), "a second document; one is allowed")

    def _place(self, mark: Any) -> str:
        return f"{self.name}:{mark.line + 1}:{mark.column + 1}"

    def _refuse_tag(self, event: Any) -> None:
        if event.tag is not None:
            place = self._place(event.start_mark)
            self.findings.append(Finding(place, "tags (!name) are not supported", "FF100"))

    def _scalar(self, event: Any) -> Scalar:
        place = self._place(event.start_mark)
        if self.environ is None or "${" not in event.value:
            written = self._text[event.start_mark.index : event.end_mark.index]
            return Scalar(place, event.value, plain=event.implicit[0], written=written)
        return Scalar(place, self._expanded(event.value, place), plain=False)

    def _expanded(self, text: str, place: str) -> str:
        def replace(match: re.Match[str]) -> str:
            file, secret, name, default = match.groups()
            if match[0] == "$${":
                return "${"
            if secret is not None:
                file, name = self._where(secret)
            if file is not None:
                return self._read_file(file, place)
            if name is None:
                wanted = "write ${NAME}, ${NAME:-default}, ${file:PATH}, or $${ for a literal ${"
                self.findings.append(Finding(place, f"unfinished variable; {wanted}", "FF102"))
                return ""
            # As in a shell, :- also covers a variable that is set but empty.
            value = (self.environ or {}).get(name, "") or default
            if value is None:
                text = f"the environment variable {name} is not set and has no default"
                self.findings.append(Finding(place, text, "FF102"))
            return value or ""

        return _REFERENCE.sub(replace, text)

    def _where(self, secret: str) -> tuple[str | None, str | None]:
        """The file or the variable that holds a secret."""
        environ = self.environ or {}
        if environ.get(PROVIDER) == "file":
            return str(Path(environ.get(FOLDER) or SECRETS).absolute() / secret), None
        return None, environ.get(PREFIX, "") + secret

    def _read_file(self, file: str, place: str) -> str:
        """What the file holds, without a line end behind it: a secret that an operator mounted."""
        path = Path(self.name).parent / file
        try:
            with path.open(encoding="utf-8") as opened:
                text = opened.read(TEXT_LIMIT + 1)
        except (OSError, UnicodeDecodeError) as fault:
            reason = (getattr(fault, "strerror", None) or "not UTF-8").lower()
            self.findings.append(Finding(place, f"cannot read the file {file}: {reason}", "FF102"))
            return ""
        if len(text) > TEXT_LIMIT:
            told = f"the file {file} is larger than {TEXT_LIMIT} characters"
            self.findings.append(Finding(place, told, "FF102"))
        return text.rstrip("\r\n")

    def _aliased(self, event: Any) -> Node:
        node = self._anchors.get(event.anchor or "")
        if node is None:
            place = self._place(event.start_mark)
            raise _Stop(place, f"alias *{event.anchor} has no finished anchor before it")
        return node

    def _start(self, node: Sequence | Mapping, anchor: str | None) -> None:
        if len(self._open) >= DEPTH_LIMIT:
            raise _Stop(node.place, f"nested deeper than {DEPTH_LIMIT} levels")
        self._open.append(_Frame(node, anchor))

    def _close(self, node: Node, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        self._add(node, node.place)

    def _add(self, node: Node, place: str) -> None:
        if not self._open:
            self.root = node
            return
        frame = self._open[-1]
        frame.node.weight += node.weight
        if frame.node.weight > NODE_LIMIT:
            raise _Stop(place, f"more than {NODE_LIMIT} values once aliases are followed")
        if isinstance(frame.node, Sequence):
            frame.node.items.append(node)
        elif frame.key is None:
            frame.key = self._key(node, place)
        else:
            self._enter(frame.node, frame.key, node)
            frame.key = None

    def _key(self, node: Node, place: str) -> Scalar:
        if isinstance(node, Scalar):
            return Scalar(place, node.text, plain=node.plain)
        self.findings.append(Finding(place, "a key must be text", "FF100"))
        return Scalar(place, f"\0{place}")

    def _enter(self, mapping: Mapping, key: Scalar, node: Node) -> None:
        if key.text.startswith("\0"):
            return
        earlier = mapping.entries.get(key.text)
        if earlier is not None:
            first = earlier.place.removeprefix(f"{self.name}:")
            text = f"duplicate field '{key.text}', first given at {first}"
            self.findings.append(Finding(key.place, text, "FF101"))
            return
        mapping.entries[key.text] = Entry(key.place, node)


def inside(node: Scalar, column: int) -> str:
    """The place of the character at `column`, from 1, of a value, if the file has it as it is.

    A block or a folded value is followed over its line ends; where an escape or a variable stands,
    the place is the value's own.
    """
    name, line, first = node.place.rsplit(":", 2)
    at = _opening(node.written)
    for wanted in node.text[: column - 1]:
        at = _past(node.written, at, wanted)
        if at < 0:
            return node.place
    if node.text[:column] and node.text[column - 1 : column] != node.written[at : at + 1]:
        at = _past_spaces(node.written, at)
    before = node.written[:at]
    lines = before.count("\n")
    offset = at if not lines else len(before) - before.rfind("\n") - 1
    return f"{name}:{int(line) + lines}:{offset + 1 + (0 if lines else int(first) - 1)}"


def _opening(written: str) -> int:
    """Where the characters of a value begin in what was written."""
    if written[:1] in ("|", ">"):
        return _past_spaces(written, written.find("\n"))
    return 1 if written[:1] in ("'", '"') else 0


def _past(written: str, at: int, wanted: str) -> int:
    """Behind the next character of the value; -1 if the file has another one."""
    found = written[at : at + 1]
    if found == wanted and found not in (" ", "\n"):
        return at + 1
    if wanted in (" ", "\n") and found in (" ", "\n"):
        return (
            _past_spaces(written, at) if "\n" in written[at : _past_spaces(written, at)] else at + 1
        )
    return -1


def _past_spaces(written: str, at: int) -> int:
    while written[at : at + 1] in (" ", "\n") and at < len(written):
        at += 1
    return at
