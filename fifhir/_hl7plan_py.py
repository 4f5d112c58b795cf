"""The plans' specification: what `_hl7plan.pyx` does fast, in plain Python.

A plan is a description in nested tuples, compiled from `tables/` by `extract.py`. An address is
`(slot, field, component, subcomponent)`: `slot` says which segment of the frame, field 0 is the
repetition at hand, component and subcomponent 0 mean undivided. Nodes:

    ("text", address, default)       the first repetition, decoded; None for an HL7 null
    ("whole", address, default)      the field with all its repetitions, undivided, decoded
    ("lines", address, default)      the field's repetitions, decoded, a line each
    ("date" | "time" | "instant", address, default)   ISO 8601, see dtm.py
    ("map", address, table, default)        text looked up in a dict; itself if it is not there
    ("join", addresses, marks, default)     the texts there are, each behind its mark, spaced
    ("known", address, table, default)      the same, but only if it is there
    ("guard", address, wanted, node, default)         node, where the bytes are one of `wanted`
    ("unless", address, wanted, node, default)        node, where they are not
    ("first", nodes, default)        the first node that has a value
    ("pick", address, node, default) node, in the first repetition where it has a value
    ("must", node)                   node; it is noted as unread, `(-1, 0)`, if it has no value
    ("struct", type, nodes, address, default)  type(value, ...), or the default where no node has
                                     a value, unless the default is None. An address moves to
                                     that field's first repetition; with field 0, to what follows
                                     its component `component`
    ("repeat", address, node)        a tuple, one item for each repetition that has a value
    ("rest", address, node)          the same, of those behind the first
    ("tuple", nodes)                 a tuple of those nodes that have a value
    ("each", group, node)            a tuple, one item for each `Group` of segments in the frame
    ("joined", group, node, default) the texts of such items, a line each
    ("some", group, node)            the same, only of those items that have a value
    ("head", group, node, default)   the first item of such an `each`
    ("ordinal", slot, default)       how many segments of its name stand before that slot's
    ("any", name, field, words)      whether a word in that field of such a segment is one of
                                     these upper-case ones, in whatever case it was sent
    ("is", address, wanted, default) true, where the bytes are one of `wanted`; no value of its own
    ("number", address, default)     an int or a float, where the text is one (NM) and not too long
                                     for a float to hold; else the text itself
    ("exact", address, default)      the same, but nothing in place of text
    ("sum", name, field, default)    what the numbers in that field of such segments add up to
    ("constant", text)               that text; it does not count as a value
    ("given", n)                     the caller's n-th argument

A group is `(names, followers, inherits, behind, until, slots, ahead, reach)`. An item begins with a
segment of one of the names and reaches over what follows it: followers, and those of the names
that stand further on in `names` than the last; of a `single` one, only followers; of one that is
`apart`, all until the next begins, and nothing inside it looks at what stands before it. Its
slots mean its first segment of that name, else the last one before it in the message if the name
is inherited, or if it stands `ahead` of the item and behind any before it. With `behind`, only
segments count that follow one of these, others like themselves between them; an `until` segment
ends the search.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

from fifhir import dtm, nm
from fifhir._hl7parse_py import Tokens, part_of

Address: TypeAlias = tuple[int, int, int, int]
Names: TypeAlias = tuple[bytes, ...]


class Group(NamedTuple):
    """What an `each` gathers."""

    names: Names
    followers: Names
    inherits: Names
    behind: Names
    until: Names
    slots: Names
    ahead: Names
    reach: str


class Plan:
    """A compiled description of one struct. `slots` names the segments of the root frame."""

    def __init__(self, slots: tuple[bytes, ...], node: tuple[Any, ...]) -> None:
        self.slots = slots
        self.node = node

    def build(
        self, tokens: Tokens, given: tuple[Any, ...], zone: dtm.Zone
    ) -> tuple[Any, list[tuple[int, int]]]:
        """The struct, and `(segment, field)` of every date that could not be read."""
        run = _Run(tokens, given, zone)
        slots = [tokens.find(name) for name in self.slots]
        return run.value(self.node, _Frame(slots, range(len(tokens)))), run.unread


class _Frame:
    """Where a plan stands: a range of segments, those its slots mean, the repetition at hand.

    Nothing before the segment `floor` is looked at.
    """

    def __init__(
        self,
        slots: list[int],
        segments: range,
        floor: int = 0,
        value: bytes = b"",
        base: int = 0,
    ) -> None:
        self.slots = slots
        self.segments = segments
        self.floor = floor
        self.value = value
        self.base = base

    def within(self, value: bytes, base: int = 0) -> "_Frame":
        return _Frame(self.slots, self.segments, self.floor, value, base)


class _Run:
    """One build: reads nodes off frames; `valued` counts the values found so far."""

    def __init__(self, tokens: Tokens, given: tuple[Any, ...], zone: dtm.Zone) -> None:
        self.tokens = tokens
        self.given = given
        self.zone = zone
        self.valued = 0
        self.unread: list[tuple[int, int]] = []

    def value(self, node: tuple[Any, ...], frame: _Frame) -> Any:
        reader: Callable[..., Any] = getattr(self, f"_{node[0]}")
        return reader(frame, *node[1:])

    def _cut(self, frame: _Frame, address: Address, repetition: int = 1) -> bytes:
        slot, field, component, subcomponent = address
        if field:
            at = frame.slots[slot]
            if at < 0:
                return b""
            return self.tokens.cut(at, field, repetition, component, subcomponent)
        if not component:
            return frame.value
        delimiters = self.tokens.delimiters
        value = part_of(frame.value, delimiters[1:2], component + frame.base)
        return part_of(value, delimiters[4:5], subcomponent)

    def _counted(self, raw: bytes, default: Any) -> Any:
        if not raw:
            return default
        self.valued += 1
        return self.tokens.decoded(raw)

    def _text(self, frame: _Frame, address: Address, default: Any) -> Any:
        return self._counted(self._cut(frame, address), default)

    def _whole(self, frame: _Frame, address: Address, default: Any) -> Any:
        return self._counted(self._cut(frame, address, 0), default)

    def _lines(self, frame: _Frame, address: Address, default: Any) -> Any:
        whole = self._cut(frame, address, 0)
        if not whole or whole == b'""':
            return self._counted(whole, default)
        parts = whole.split(self.tokens.delimiters[2:3])
        self.valued += 1
        return "\n".join(self.tokens.decoded(part) or "" for part in parts)

    def _dated(
        self, read: Callable[..., str | None], frame: _Frame, address: Address, default: Any
    ) -> Any:
        raw = self._cut(frame, address)
        text = self.tokens.decoded(raw) if raw else default
        if raw and text is not None:
            text = read(text, self.zone)
            if text is None:
                self.unread.append((frame.slots[address[0]], address[1]))
                return default
        self.valued += bool(raw)
        return text

    def _date(self, frame: _Frame, address: Address, default: Any) -> Any:
        return self._dated(dtm.date, frame, address, default)

    def _time(self, frame: _Frame, address: Address, default: Any) -> Any:
        return self._dated(dtm.time, frame, address, default)

    def _instant(self, frame: _Frame, address: Address, default: Any) -> Any:
        return self._dated(dtm.instant, frame, address, default)

    def _map(self, frame: _Frame, address: Address, table: dict[str, str], default: Any) -> Any:
        raw = self._cut(frame, address)
        text = self._counted(raw, default)
        return table.get(text, text) if raw and text is not None else text

    def _known(self, frame: _Frame, address: Address, table: dict[str, str], default: Any) -> Any:
        text = self.tokens.decoded(self._cut(frame, address))
        self.valued += text in table
        return table.get(text, default) if text else default

    def _join(
        self, frame: _Frame, addresses: tuple[Address, ...], marks: tuple[str, ...], default: Any
    ) -> Any:
        texts = [self._text(frame, address, "") for address in addresses]
        return " ".join(m + text for text, m in zip(texts, marks, strict=True) if text) or default

    def _guard(
        self, frame: _Frame, address: Address, wanted: tuple[bytes, ...], node: Any, default: Any
    ) -> Any:
        return self.value(node, frame) if self._cut(frame, address) in wanted else default

    def _unless(
        self, frame: _Frame, address: Address, wanted: tuple[bytes, ...], node: Any, default: Any
    ) -> Any:
        return default if self._cut(frame, address) in wanted else self.value(node, frame)

    def _first(self, frame: _Frame, nodes: tuple[Any, ...], default: Any) -> Any:
        for node in nodes:
            before = self.valued
            found = self.value(node, frame)
            if self.valued > before:
                return found
        return default

    def _pick(self, frame: _Frame, address: Address, node: Any, default: Any) -> Any:
        nodes = [(node, inner) for inner in self._repetitions(frame, address)]
        for each, inner in nodes:
            before = self.valued
            found = self.value(each, inner)
            if self.valued > before:
                return found
        return default

    def _must(self, frame: _Frame, node: Any) -> Any:
        before = self.valued
        found = self.value(node, frame)
        if self.valued == before:
            self.unread.append((-1, 0))
        return found

    def _any(self, frame: _Frame, name: bytes, field: int, words: tuple[bytes, ...]) -> bool:
        parting = bytes(self.tokens.delimiters[n] for n in (1, 2, 4)) + b" "
        apart = bytes.maketrans(parting, b" " * len(parting))
        fields = (self.tokens.cut(i, field, 0) for i in frame.segments if self._named(i, name))
        return any(word.upper() in words for f in fields for word in f.translate(apart).split(b" "))

    def _is(self, frame: _Frame, address: Address, wanted: tuple[bytes, ...], default: Any) -> Any:
        return True if self._cut(frame, address) in wanted else default

    def _named(self, segment: int, name: bytes) -> bool:
        return self.tokens.name(segment) == name

    def _struct(
        self, frame: _Frame, cls: Any, nodes: tuple[Any, ...], address: Address | None, default: Any
    ) -> Any:
        if address is not None:
            raw = self._cut(frame, (address[0], address[1], 0, 0))
            if not raw:
                return default
            frame = frame.within(raw, address[2])
        before = self.valued
        values = [self.value(node, frame) for node in nodes]
        if self.valued == before and default is not None:
            return default
        return cls(*values)

    def _repetitions(self, frame: _Frame, address: Address, begin: int = 0) -> list[_Frame]:
        whole = self._cut(frame, (address[0], address[1], 0, 0), 0)
        parts = whole.split(self.tokens.delimiters[2:3])[begin:]
        return [frame.within(part) for part in parts if part]

    def _repeat(self, frame: _Frame, address: Address, node: Any) -> Any:
        return self._gathered((node, inner) for inner in self._repetitions(frame, address))

    def _rest(self, frame: _Frame, address: Address, node: Any) -> Any:
        return self._gathered((node, inner) for inner in self._repetitions(frame, address, 1))

    def _tuple(self, frame: _Frame, nodes: tuple[Any, ...]) -> Any:
        return self._gathered((node, frame) for node in nodes)

    def _gathered(self, pairs: Iterable[tuple[Any, _Frame]]) -> tuple[Any, ...]:
        found = []
        for node, frame in pairs:
            before = self.valued
            value = self.value(node, frame)
            if self.valued > before:
                found.append(value)
        return tuple(found)

    def _each(self, frame: _Frame, group: Group, node: Any) -> Any:
        return tuple(self.value(node, item) for item in self._items(frame, Group(*group)))

    def _some(self, frame: _Frame, group: Group, node: Any) -> Any:
        return self._gathered((node, item) for item in self._items(frame, Group(*group)))

    def _head(self, frame: _Frame, group: Group, node: Any, default: Any) -> Any:
        item = next(self._items(frame, Group(*group)), None)
        return default if item is None else self.value(node, item)

    def _joined(self, frame: _Frame, group: Group, node: Any, default: Any) -> Any:
        before = self.valued
        texts = [self.value(node, item) for item in self._items(frame, Group(*group))]
        found = [text for text in texts if text]
        return "\n".join(found) if found and self.valued > before else default

    def _items(self, frame: _Frame, group: Group) -> Iterator[_Frame]:
        reached = frame.segments.start
        for at in frame.segments:
            name = self.tokens.name(at)
            if name in group.until:
                return
            if at >= reached and name in group.names and self._stands(at, group.behind):
                reached = self._reached(at, group, frame.segments.stop)
                floor = at if group.reach == "apart" else frame.floor
                slots = [self._place(range(at, reached), floor, group, s) for s in group.slots]
                yield _Frame(slots, range(at + 1, reached), floor)

    def _stands(self, at: int, behind: Names) -> bool:
        """Whether a segment, or the run of its like it is in, stands behind one of these."""
        before = at - 1
        while before >= 0 and self.tokens.name(before) == self.tokens.name(at):
            before -= 1
        return not behind or (before >= 0 and self.tokens.name(before) in behind)

    def _reached(self, at: int, group: Group, stop: int) -> int:
        """Where the item that begins here ends."""
        names, end = group.names[group.names.index(self.tokens.name(at)) + 1 :], at + 1
        if group.reach == "single":
            names = ()
        while end < stop:
            name = self.tokens.name(end)
            if name in (group.names if group.reach == "apart" else ()):
                break
            if name in names:
                names = names[names.index(name) + 1 :]
            elif name not in group.followers and group.reach != "apart":
                break
            end += 1
        return end

    def _place(self, item: range, floor: int, group: Group, slot: bytes) -> int:
        """Which segment a slot means: the first of the item, else one before it, else -1."""
        for at in item:
            if self._named(at, slot):
                return at
        for at in range(item.start - 1, floor - 1, -1):
            if self._named(at, slot) and slot in (*group.inherits, *group.ahead):
                return at
            if self.tokens.name(at) in group.names and slot not in group.inherits:
                return -1
        return -1

    def _ordinal(self, frame: _Frame, slot: int, default: Any) -> Any:
        at = frame.slots[slot]
        if at < 0:
            return default
        name = self.tokens.name(at)
        return sum(self.tokens.name(i) == name for i in range(frame.floor, at))

    def _number(self, frame: _Frame, address: Address, default: Any) -> Any:
        raw = self._cut(frame, address)
        found = nm.number(raw)
        text = self._counted(raw, default)
        return text if found is None else found

    def _exact(self, frame: _Frame, address: Address, default: Any) -> Any:
        found = nm.number(self._cut(frame, address))
        self.valued += found is not None
        return default if found is None else found

    def _sum(self, frame: _Frame, name: bytes, field: int, default: Any) -> Any:
        found = nm.total(
            self.tokens.cut(i, field, 1, 1, 1) for i in frame.segments if self._named(i, name)
        )
        self.valued += found is not None
        return default if found is None else found

    def _constant(self, frame: _Frame, text: str) -> Any:
        return text

    def _given(self, frame: _Frame, n: int) -> Any:
        return self.given[n]
