r"""A regular expression's text into an automaton (RE2 syntax, as cel-spec asks for).

Supported: letters, `.`, classes with ranges, `\d \w \s` and `\pL` with their opposites, groups,
`|`, `* + ? {n,m}` greedy or lazy, `^ $ \A \z \b \B`, the flags i, m, s, and `\Q..\E`. What no
linear-time engine can do (backreferences, look-around) is refused.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from fifhir.errors import CelFault

NODE_LIMIT = 2000
REPEAT_LIMIT = 1000  # RE2's own
DEPTH_LIMIT = 50

Accepts: TypeAlias = Callable[[str], bool]
Tree: TypeAlias = "tuple[str, Any]"

WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_DIGIT = frozenset("0123456789")
_SPACE = frozenset("\t\n\f\r ")  # RE2 leaves the vertical tab out
_CLASSES = {"w": WORD, "d": _DIGIT, "s": _SPACE}
_POSIX = {
    "alnum": WORD - {"_"},
    "alpha": WORD - {"_"} - _DIGIT,
    "digit": _DIGIT,
    "lower": frozenset("abcdefghijklmnopqrstuvwxyz"),
    "upper": frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    "punct": frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
    "space": _SPACE | {"\v"},
    "word": WORD,
    "xdigit": frozenset("0123456789abcdefABCDEF"),
}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}
_CATEGORY = re.compile("[CLMNPSZ][a-z]?")  # of Unicode, as in L or Lu
_ANCHORS = {"A": "begin", "z": "end", "b": "boundary", "B": "inside"}


@dataclass(slots=True)
class Node:
    """Reads a letter and goes to `target`, or goes on to all `forks` where its anchor holds."""

    accepts: Accepts | None = None
    target: int = 0
    forks: list[int] = field(default_factory=list)
    anchor: str | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """The automaton: where it begins, and where a match is complete."""

    nodes: list[Node]
    start: int
    accept: int


def parse(text: str) -> Program:
    """The automaton of a pattern. Raises CelFault."""
    parser = _Parser(text)
    tree = parser.alternatives()
    if parser.position < len(text):
        raise CelFault("the pattern of matches() closes a group that is not open")
    nodes = [Node()]
    return Program(nodes, _emit(tree, 0, nodes), 0)


def _emit(tree: Tree, following: int, nodes: list[Node]) -> int:
    """The number of the first node of the tree, all of it leading to `following`."""
    match tree:
        case "letter", accepts:
            return _add(nodes, Node(accepts=accepts, target=following))
        case "anchor", name:
            return _add(nodes, Node(forks=[following], anchor=str(name)))
        case "all", list(parts):
            for part in reversed(parts):
                following = _emit(part, following, nodes)
            return following
        case "any", list(parts):
            return _add(nodes, Node(forks=[_emit(part, following, nodes) for part in parts]))
        case "repeat", (part, least, most):
            return _repeat(part, least, most, following, nodes)
    raise TypeError(tree[0])


def _repeat(part: Tree, least: int, most: int | None, following: int, nodes: list[Node]) -> int:
    if most is None:
        loop = _add(nodes, Node())
        nodes[loop].forks = [_emit(part, loop, nodes), following]
        start = loop
    else:
        start = following
        for _ in range(most - least):
            start = _add(nodes, Node(forks=[_emit(part, start, nodes), following]))
    for _ in range(least):
        start = _emit(part, start, nodes)
    return start


def _add(nodes: list[Node], node: Node) -> int:
    if len(nodes) >= NODE_LIMIT:
        raise CelFault("the pattern of matches() is too large")
    nodes.append(node)
    return len(nodes) - 1


class _Parser:
    """Recursive descent over the pattern; `_flags` are those in force."""

    def __init__(self, text: str) -> None:
        self.position = 0
        self._text = text
        self._flags: frozenset[str] = frozenset()
        self._depth = 0

    def alternatives(self) -> Tree:
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise CelFault("the pattern of matches() is nested too deeply")
        found = [self._sequence()]
        while self._accept("|"):
            found.append(self._sequence())
        self._depth -= 1
        return found[0] if len(found) == 1 else ("any", found)

    def _sequence(self) -> Tree:
        parts: list[Tree] = []
        while self.position < len(self._text) and self._peek() not in "|)":
            parts.append(self._repeated(self._atom()))
        return "all", parts

    def _peek(self) -> str:
        return self._text[self.position : self.position + 1]

    def _take(self) -> str:
        letter = self._peek()
        if not letter:
            raise CelFault("the pattern of matches() is not finished")
        self.position += 1
        return letter

    def _accept(self, sign: str) -> bool:
        if self._text.startswith(sign, self.position):
            self.position += len(sign)
            return True
        return False

    def _until(self, closing: str) -> str:
        """What stands before the closing sign, which is taken as well."""
        end = self._text.find(closing, self.position)
        if end < 0:
            raise CelFault("the pattern of matches() is not finished")
        found, self.position = self._text[self.position : end], end + len(closing)
        return found

    def _repeated(self, part: Tree) -> Tree:
        while True:
            if self._accept("*"):
                part = ("repeat", (part, 0, None))
            elif self._accept("+"):
                part = ("repeat", (part, 1, None))
            elif self._accept("?"):
                part = ("repeat", (part, 0, 1))
            elif (bounds := self._bounds()) is not None:
                part = ("repeat", (part, *bounds))
            else:
                return part
            self._accept("?")  # lazy: the same language
            if self._peek() and self._peek() in "*+?":
                raise CelFault("the pattern of matches() repeats a repeat; put it into a group")

    def _bounds(self) -> tuple[int, int | None] | None:
        """`{n}`, `{n,}` or `{n,m}`; anything else is a brace like any letter."""
        end = self._text.find("}", self.position)
        if self._peek() != "{" or end < 0:
            return None
        low, comma, high = self._text[self.position + 1 : end].partition(",")
        if not (low.isdecimal() and low.isascii()) or (high and not high.isdecimal()):
            return None
        least = int(low[:6])
        most = (int(high[:6]) if high else None) if comma else least
        if max(least, most or 0) > REPEAT_LIMIT or (most is not None and most < least):
            raise CelFault(f"the pattern of matches() has a repeat beyond {REPEAT_LIMIT}")
        self.position = end + 1
        return least, most

    def _atom(self) -> Tree:  # noqa: PLR0911 - a return for each kind of atom
        letter = self._take()
        match letter:
            case "(":
                return self._group()
            case "[":
                return "letter", self._folded(self._class())
            case ".":
                return "letter", _anything if "s" in self._flags else _but_newline
            case "^":
                return "anchor", "line_begin" if "m" in self._flags else "begin"
            case "$":
                return "anchor", "line_end" if "m" in self._flags else "end"
            case "\\":
                return self._escaped()
            case "*" | "+" | "?":
                raise CelFault("the pattern of matches() repeats nothing")
        return "letter", self._folded(letter.__eq__)

    def _group(self) -> Tree:
        flags = self._flags
        if self._accept("?"):
            if self._accept("P<") or self._accept("<"):
                self._name()
            else:
                self._flags = self._changed_flags()
                if self._take() == ")":
                    return "all", []  # in force for the rest of the group around it
        tree = self.alternatives()
        if not self._accept(")"):
            raise CelFault("the pattern of matches() leaves a group open")
        self._flags = flags
        return tree

    def _name(self) -> None:
        if not self._until(">").isidentifier():
            raise CelFault("the pattern of matches() has a group that no linear engine supports")

    def _changed_flags(self) -> frozenset[str]:
        """The flags in force after `(?i-s`, up to the : or ) that ends them."""
        flags = set(self._flags)
        change = flags.add
        while self._peek() not in (":", ")"):
            letter = self._take()
            if letter == "-" and change == flags.add:
                change = flags.discard
            elif letter in "imsU":
                change(letter)
            else:
                raise CelFault(
                    "the pattern of matches() has a group that no linear engine supports"
                )
        return frozenset(flags)

    def _folded(self, accepts: Accepts) -> Accepts:
        """The same, for either case if the flag i is set."""
        if "i" not in self._flags:
            return accepts
        return lambda letter: accepts(letter) or accepts(letter.lower()) or accepts(letter.upper())

    def _escaped(self) -> Tree:
        letter = self._take()
        if letter in _ANCHORS:
            return "anchor", _ANCHORS[letter]
        if letter == "Q":
            return "all", [("letter", self._folded(each.__eq__)) for each in self._quoted()]
        if (found := self._class_escape(letter)) is not None:
            return "letter", self._folded(found)
        return "letter", self._folded(self._character(letter).__eq__)

    def _quoted(self) -> str:
        end = self._text.find("\\E", self.position)
        quoted = self._text[self.position : end if end >= 0 else None]
        self.position = end + 2 if end >= 0 else len(self._text)
        return quoted

    def _class_escape(self, letter: str) -> Accepts | None:
        r"""What \d, \W or \pL accepts; None for any other letter."""
        if letter in "pP":
            return self._property(letter == "P")
        members = _CLASSES.get(letter.lower())
        if members is None:
            return None
        return members.__contains__ if letter.islower() else lambda each: each not in members

    def _property(self, opposite: bool) -> Accepts:
        name = self._take()
        if name == "{":
            name = self._until("}")
        opposite ^= name.startswith("^")
        name = name.removeprefix("^")
        if not _CATEGORY.fullmatch(name):
            raise CelFault(
                "the pattern of matches() has an unknown class; known are \\pL, \\p{Lu}..."
            )
        return lambda letter: unicodedata.category(letter).startswith(name) != opposite

    def _character(self, letter: str) -> str:
        """The one character that a backslash and this letter stand for."""
        if letter in _CONTROLS:
            return _CONTROLS[letter]
        if letter == "x":
            return self._hexadecimal()
        if letter == "0":
            digits = letter
            while len(digits) < 3 and self._peek() and self._peek() in "01234567":
                digits += self._take()
            return chr(int(digits, 8))
        if letter.isalnum():
            raise CelFault("the pattern of matches() has an escape that no linear engine supports")
        return letter

    def _hexadecimal(self) -> str:
        digits = self._take()
        if digits == "{":
            digits = self._until("}")
        else:
            digits += self._take()
        try:
            return chr(int(digits[:8], 16))
        except (ValueError, OverflowError):
            raise CelFault("the pattern of matches() has an escape of no character") from None

    def _class(self) -> Accepts:
        """What is accepted between brackets."""
        opposite = self._accept("^")
        singles: set[str] = set()
        ranges: list[tuple[str, str]] = []
        others: list[Accepts] = []
        first = True
        while first or not self._accept("]"):
            first = False
            low = self._member(others)
            if low is None:
                continue
            if self._peek() == "-" and self._text[self.position + 1 : self.position + 2] != "]":
                self.position += 1
                high = self._member([])
                if high is None or high < low:
                    raise CelFault(
                        "the pattern of matches() has a range that ends before it begins"
                    )
                ranges.append((low, high))
            else:
                singles.add(low)

        def accepts(letter: str) -> bool:
            found = (
                letter in singles
                or any(low <= letter <= high for low, high in ranges)
                or any(other(letter) for other in others)
            )
            return found != opposite

        return accepts

    def _member(self, others: list[Accepts]) -> str | None:
        """One character of a class; None if it was a class of its own, now among the others."""
        letter = self._take()
        if letter == "[" and self._accept(":"):
            name = self._until(":]")
            members = _POSIX.get(name.removeprefix("^"))
            if members is None:
                raise CelFault("the pattern of matches() has an unknown class [:...:]")
            negative = name.startswith("^")
            others.append(lambda each: (each in members) != negative)
            return None
        if letter != "\\":
            return letter
        letter = self._take()
        found = self._class_escape(letter)
        if found is None:
            return self._character(letter)
        others.append(found)
        return None


def _anything(_: str) -> bool:
    return True


def _but_newline(letter: str) -> bool:
    return letter != "\n"
