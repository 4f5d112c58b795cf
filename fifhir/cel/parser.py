"""CEL tokens into a tree (cel-spec, "Syntax": grammar), under caps that no tree may pass.

The tree is of a few forms only: an operator is a Call of its sign, `a[b]` a Call of `[]`.
"""

import re
from dataclasses import dataclass
from typing import Any, TypeAlias

from fifhir.cel.lexer import INT_MAX, Token, tokens
from fifhir.errors import CelError

TEXT_LIMIT = 8192  # characters
NODE_LIMIT = 1000
DEPTH_LIMIT = 48  # levels of the tree; evaluation needs one call for each

_RESERVED = re.compile(
    "as|break|const|continue|else|for|function|if|import|in|let|loop|package|namespace|return|var|"
    "void|while"
)
_LEVELS = (  # from what binds least
    frozenset({"||"}),
    frozenset({"&&"}),
    frozenset({"<", "<=", ">", ">=", "==", "!=", "in"}),
    frozenset({"+", "-"}),
    frozenset({"*", "/", "%"}),
)


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as written; `type` is its CEL type."""

    column: int
    type: str
    value: Any
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Name:
    """A variable."""

    column: int
    name: str
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`; the column is the field's."""

    column: int
    operand: "Node"
    field: str
    depth: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function or operator; `member` when it was written `first.name(rest)`."""

    column: int
    name: str
    arguments: "tuple[Node, ...]"
    member: bool
    depth: int


@dataclass(frozen=True, slots=True)
class Items:
    """A list literal."""

    column: int
    items: "tuple[Node, ...]"
    depth: int


@dataclass(frozen=True, slots=True)
class Entries:
    """A map literal."""

    column: int
    entries: "tuple[tuple[Node, Node], ...]"
    depth: int


Node: TypeAlias = Literal | Name | Select | Call | Items | Entries


def parse(text: str) -> Node:
    """The tree of a whole expression. Raises CelError."""
    if len(text) > TEXT_LIMIT:
        raise CelError(1, f"longer than {TEXT_LIMIT} characters; split it into several routes")
    parser = _Parser(tokens(text))
    tree = parser.expression()
    parser.expect_end()
    return tree


class _Parser:
    """Recursive descent; `_open` counts the levels that are still to be closed."""

    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._position = 0
        self._nodes = 0
        self._open = 0

    def expression(self) -> Node:
        """A conditional, or anything that binds more."""
        self._open += 1
        if self._open > DEPTH_LIMIT:
            raise self._fault("nested too deeply; simplify it")
        node = self._binary(0)
        if question := self._accept("?"):
            yes = self._binary(0)
            self._expect(":", "the ':' of '? :'")
            node = self._call(question, "?:", node, yes, self.expression())
        self._open -= 1
        return node

    def expect_end(self) -> None:
        """Nothing is left."""
        if self._next.kind != "end":
            raise self._fault(f"unexpected {_shown(self._next)}")

    @property
    def _next(self) -> Token:
        return self._tokens[self._position]

    def _fault(self, text: str) -> CelError:
        return CelError(self._next.column, text)

    def _advance(self) -> Token:
        token = self._next
        self._position += 1
        return token

    def _accept(self, sign: str) -> Token | None:
        return self._advance() if self._next.kind == "op" and self._next.value == sign else None

    def _expect(self, sign: str, wanted: str) -> None:
        if not self._accept(sign):
            raise self._fault(f"expected {wanted}, found {_shown(self._next)}")

    def _count(self, column: int, *below: Node) -> int:
        """The depth of a new node over those."""
        self._nodes += 1
        depth = 1 + max((node.depth for node in below), default=0)
        if self._nodes > NODE_LIMIT or depth > DEPTH_LIMIT:
            raise CelError(column, "too large; split it into several routes")
        return depth

    def _call(self, token: Token, name: str, *below: Node, member: bool = False) -> Call:
        return Call(token.column, name, below, member, self._count(token.column, *below))

    def _binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._unary()
        node = self._binary(level + 1)
        joined = [node]
        while self._next.kind in ("op", "name") and self._next.value in _LEVELS[level]:
            token = self._advance()
            right = self._binary(level + 1)
            if token.value in ("&&", "||"):  # flat: a hundred alternatives are one level
                joined.append(right)
                node = self._call(token, token.value, *joined)
            else:
                node = self._call(token, token.value, node, right)
        return node

    def _unary(self) -> Node:
        token = self._next
        if token.kind != "op" or token.value not in ("!", "-"):
            return self._member()
        self._advance()
        self._open += 1
        if self._open > DEPTH_LIMIT:
            raise self._fault("nested too deeply; simplify it")
        if token.value == "-" and self._next.kind in ("int", "double"):
            below = self._member(negative=self._advance())
        else:
            operand = self._unary()
            below = self._call(token, "!" if token.value == "!" else "-x", operand)
        self._open -= 1
        return below

    def _member(self, negative: Token | None = None) -> Node:
        node = self._literal(negative, sign=-1) if negative else self._primary()
        while True:
            if self._accept("."):
                node = self._selected(node)
            elif bracket := self._accept("["):
                index = self.expression()
                self._expect("]", "']'")
                node = self._call(bracket, "[]", node, index)
            else:
                return node

    def _selected(self, node: Node) -> Node:
        name = self._advance()
        if name.kind != "name":
            raise CelError(name.column, f"expected a field's name after '.', found {_shown(name)}")
        if self._accept("("):
            return self._call(name, name.value, node, *self._arguments(")"), member=True)
        return Select(name.column, node, name.value, self._count(name.column, node))

    def _arguments(self, closing: str) -> list[Node]:
        found: list[Node] = []
        while not self._accept(closing):
            if found:
                self._expect(",", f"',' or '{closing}'")
                if closing == "]" and self._accept(closing):
                    break  # a list may end with a comma
            found.append(self.expression())
        return found

    def _primary(self) -> Node:
        token = self._advance()
        match token.kind, token.value:
            case "op", "(":
                node = self.expression()
                self._expect(")", "')'")
                return node
            case "op", "[":
                items = tuple(self._arguments("]"))
                return Items(token.column, items, self._count(token.column, *items))
            case "op", "{":
                return self._map(token)
            case "op", ".":
                return self._primary()  # a leading dot means the outermost name; there is no other
            case "name", name:
                return self._named(token, name)
            case (("int" | "uint" | "double" | "string" | "bytes"), _):
                return self._literal(token)
        raise CelError(token.column, f"expected a value, found {_shown(token)}")

    def _named(self, token: Token, name: str) -> Node:
        if name in ("true", "false"):
            return Literal(token.column, "bool", name == "true", self._count(token.column))
        if name == "null":
            return Literal(token.column, "null_type", None, self._count(token.column))
        if _RESERVED.fullmatch(name):
            raise CelError(token.column, f"'{name}' is a reserved word")
        if self._accept("("):
            return self._call(token, name, *self._arguments(")"))
        return Name(token.column, name, self._count(token.column))

    def _literal(self, token: Token, sign: int = 1) -> Literal:
        value = token.value if sign == 1 else -token.value
        if token.kind == "int" and value > INT_MAX:
            raise CelError(token.column, "the number does not fit into 64 bits as int")
        return Literal(token.column, token.kind, value, self._count(token.column))

    def _map(self, token: Token) -> Node:
        entries: list[tuple[Node, Node]] = []
        while not self._accept("}"):
            if entries:
                self._expect(",", "',' or '}'")
                if self._accept("}"):
                    break
            key = self.expression()
            self._expect(":", "':' between a key and its value")
            entries.append((key, self.expression()))
        below = [node for entry in entries for node in entry]
        return Entries(token.column, tuple(entries), self._count(token.column, *below))


def _shown(token: Token) -> str:
    if token.kind == "end":
        return "the end"
    return f"'{token.value}'" if token.kind in ("op", "name") else f"a {token.kind}"
