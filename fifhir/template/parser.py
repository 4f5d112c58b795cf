"""Actions into closures: what writes to the output, and what has a value.

A closure takes the scope: the document, the dot, the output, then the variables, innermost last.
"""

import re
from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

from fifhir.errors import TemplateError, TemplateFault
from fifhir.template.escapes import ESCAPES, Escape, in_json_text
from fifhir.template.functions import FUNCTIONS, true
from fifhir.template.lexer import Piece, Token, pieces

Scope: TypeAlias = tuple[Any, ...]
Value: TypeAlias = Callable[[Scope], Any]
Write: TypeAlias = Callable[[Scope], None]
Path: TypeAlias = tuple[str | None, ...]
"""Where in the document something is; None stands for any element of a list."""

DEPTH_LIMIT = 24
OUTPUT_LIMIT = 1 << 20  # characters
TURN_LIMIT = 100_000  # of all ranges in one rendering
_ROOT, _DOT, _OUTPUT, _FIRST_VARIABLE = range(4)
_KEYWORDS = ("if", "else", "end", "range", "with", "and", "or")
_WORDS = re.compile("(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # where one begins
_CONSTANTS = {"true": True, "false": False, "nil": None}


class Output:
    """What a rendering has written so far, and how often its ranges may still turn."""

    __slots__ = ("_left", "_turns", "parts")

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._left = OUTPUT_LIMIT
        self._turns = TURN_LIMIT

    def write(self, text: str) -> None:
        """The text is part of the output."""
        self._left -= len(text)
        if self._left < 0:
            raise TemplateFault(f"the template makes more than {OUTPUT_LIMIT} characters")
        self.parts.append(text)

    def turn(self) -> None:
        """One more turn of a range."""
        self._turns -= 1
        if self._turns < 0:
            raise TemplateFault(f"the template's ranges turn more than {TURN_LIMIT} times")


class Term(NamedTuple):
    """A value, and where in the document it comes from if that is known."""

    run: Value
    path: Path | None = None


class Parser:
    """Parses one template; `uses` are the fields it reads, each with its column."""

    def __init__(self, text: str, escape: Escape) -> None:
        self.uses: list[tuple[Path, int]] = []
        self._pieces = pieces(text)
        self._position = 0
        self._escape = escape
        self._quoted = False  # whether what comes next stands between quotes of JSON
        self._depth = 0
        self._dot: Path | None = ()
        self._variables: list[tuple[str, Path | None]] = []
        self._tokens: tuple[Token, ...] = ()
        self._token = 0

    def whole(self) -> list[Write]:
        """All of the template. Raises TemplateError."""
        body, ending = self._body()
        if ending is not None:
            raise TemplateError(ending.column, f"'{ending.value}' belongs to no if, range or with")
        return body

    def _body(self) -> tuple[list[Write], Token | None]:
        """Everything up to the `else` or `end` that is returned, or to the end of the text."""
        body: list[Write] = []
        while self._position < len(self._pieces):
            piece = self._pieces[self._position]
            self._position += 1
            if not piece.tokens:
                self._literal(piece, body)
                continue
            self._tokens, self._token = piece.tokens, 0
            if self._next.kind == "name" and self._next.value in ("else", "end"):
                return body, self._advance()
            body.append(self._action())
        return body, None

    def _literal(self, piece: Piece, body: list[Write]) -> None:
        text = piece.text
        if text:
            body.append(lambda scope: scope[_OUTPUT].write(text))
        if self._escape == "json":
            self._quoted ^= text.replace("\\\\", "").replace('\\"', "").count('"') % 2 == 1

    def _action(self) -> Write:
        word = self._next
        if word.kind == "name" and word.value in ("if", "with", "range"):
            self._advance()
            return self._block(word)
        term = self._pipeline()
        self._done()
        run = term.run
        write = in_json_text if self._quoted else ESCAPES[self._escape]
        return lambda scope: scope[_OUTPUT].write(write(run(scope)))

    def _block(self, word: Token) -> Write:
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise TemplateError(word.column, "nested too deeply")
        outer, quoted, variables = self._dot, self._quoted, len(self._variables)
        names = self._declared() if word.value != "if" else []
        term = self._pipeline()
        self._done()
        self._enter(word, names, term)
        body, ending = self._body()
        self._dot = outer
        del self._variables[variables:]
        after = self._quoted
        self._quoted = quoted
        otherwise = self._otherwise(word, ending)
        self._quoted = after
        self._depth -= 1
        make = {"if": _if, "with": _with, "range": _range}[word.value]
        return make(term.run, body, otherwise, len(names))

    def _enter(self, word: Token, names: list[str], term: Term) -> None:
        """The dot and the variables that hold within a block."""
        if word.value == "if":
            return
        inner = term.path
        if word.value == "range":
            inner = None if term.path is None else (*term.path, None)
        self._dot = inner
        self._variables += [(name, None) for name in names[:-1]]
        self._variables += [(name, inner) for name in names[-1:]]

    def _otherwise(self, word: Token, ending: Token | None) -> list[Write]:
        if ending is None:
            raise TemplateError(word.column, f"this '{word.value}' has no end")
        if ending.value == "end":
            self._done()
            return []
        if self._next.kind == "name" and self._next.value == "if":
            return [self._block(self._advance())]  # its end is the whole block's end
        self._done()
        body, ending = self._body()
        if ending is None or ending.value != "end":
            raise TemplateError(word.column, f"this '{word.value}' has no end after its else")
        self._done()
        return body

    def _declared(self) -> list[str]:
        """The names before `:=`; a range may have two, for the position and the element."""
        signs = [token.value if token.kind == "op" else token.kind for token in self._tokens]
        if ":=" not in signs:
            return []
        wanted = signs[self._token : signs.index(":=")]
        if wanted not in (["variable"], ["variable", ",", "variable"]):
            raise TemplateError(self._next.column, "write $name := or $position, $name :=")
        names = [self._tokens[self._token + at].value for at in range(0, len(wanted), 2)]
        self._token += len(wanted) + 1
        return names

    @property
    def _next(self) -> Token:
        return self._tokens[self._token]

    def _advance(self) -> Token:
        token = self._next
        self._token += 1
        return token

    def _done(self) -> None:
        if self._next.kind != "end":
            raise TemplateError(self._next.column, f"unexpected '{self._next.value}'")

    def _pipeline(self) -> Term:
        """Commands joined by |: each gets the value before it as its last argument."""
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise TemplateError(self._next.column, "nested too deeply")
        term = self._command(None)
        while self._next.kind == "op" and self._next.value == "|":
            self._advance()
            term = self._command(term)
        self._depth -= 1
        return term

    def _command(self, piped: Term | None) -> Term:
        token = self._next
        if token.kind == "name" and token.value not in _CONSTANTS:
            self._advance()
            return self._function(token, piped)
        if piped is not None:
            raise TemplateError(token.column, "only a function can stand behind |")
        return self._operand()

    def _function(self, token: Token, piped: Term | None) -> Term:
        name = token.value
        terms = []
        while not (
            self._next.kind == "end" or (self._next.kind == "op" and self._next.value in "|)")
        ):
            terms.append(self._operand())
        terms += [piped] if piped is not None else []
        runs = tuple(term.run for term in terms)
        if name in ("and", "or"):
            if not runs:
                raise TemplateError(token.column, f"{name} needs a value")
            return Term(_deciding(runs, decisive=name == "or"))
        if name not in FUNCTIONS:
            known = ", ".join(sorted((*FUNCTIONS, "and", "or")))
            raise TemplateError(token.column, f"unknown function '{name}'; known: {known}")
        least, most, compute = FUNCTIONS[name]
        if not least <= len(runs) <= most:
            raise TemplateError(token.column, f"{name} does not take {len(runs)} values")
        path = terms[0].path if name == "index" else None
        if path is not None:
            path = (*path, *(None for _ in runs[1:]))
        return Term(lambda scope: compute(*[run(scope) for run in runs]), path)

    def _operand(self) -> Term:
        token = self._advance()
        match token.kind, token.value:
            case (("string" | "number"), value):
                return Term(lambda _: value)
            case "name", name if name in _CONSTANTS:
                constant = _CONSTANTS[name]
                return Term(lambda _: constant)
            case "name", name if name not in _KEYWORDS:
                raise TemplateError(token.column, f"put the function {name} into parentheses")
            case "dot", _:
                return Term(itemgetter(_DOT), self._dot)
            case "field", _:
                self._token -= 1
                return self._fields(Term(itemgetter(_DOT), self._dot), first=True)
            case "variable", name:
                return self._fields(self._variable(token, name))
            case "op", "(":
                term = self._pipeline()
                if self._next.value != ")":
                    raise TemplateError(self._next.column, "expected ')'")
                self._advance()
                return self._fields(term)
        shown = "the end" if token.kind == "end" else f"'{token.value}'"
        raise TemplateError(token.column, f"expected a value, found {shown}")

    def _variable(self, token: Token, name: str) -> Term:
        if name == "$":
            return Term(itemgetter(_ROOT), ())
        for position in range(len(self._variables) - 1, -1, -1):
            known, path = self._variables[position]
            if known == name:
                return Term(itemgetter(_FIRST_VARIABLE + position), path)
        raise TemplateError(token.column, f"unknown variable {name}; range and with declare them")

    def _fields(self, term: Term, *, first: bool = False) -> Term:
        """The fields written directly behind a value: `.a.b`."""
        while self._next.kind == "field" and (first or not self._next.spaced):
            first = False
            token = self._advance()
            name = _snake(token.value)
            path = None if term.path is None else (*term.path, name)
            if path is not None:
                self.uses.append((path, token.column))
            term = Term(_field(term.run, token.value, name), path)
        return term


def _snake(name: str) -> str:
    """Go's name of a field as the JSON name it has: GivenName is given_name, MRN is mrn."""
    return _WORDS.sub("_", name).lower() if name[:1].isupper() else name


def _field(run: Value, written: str, name: str) -> Value:
    """A field of an object; of nothing there is nothing, since events leave out what is empty."""

    def selected(scope: Scope) -> Any:
        value = run(scope)
        if type(value) is dict:
            return value.get(name) if name in value else value.get(written)
        if value is None:
            return None
        raise TemplateFault(f"'.{written}' is asked of something that is no object")

    return selected


def _run(body: list[Write], scope: Scope) -> None:
    for write in body:
        write(scope)


def _if(condition: Value, body: list[Write], otherwise: list[Write], _: int) -> Write:
    return lambda scope: _run(body if true(condition(scope)) else otherwise, scope)


def _with(value: Value, body: list[Write], otherwise: list[Write], names: int) -> Write:
    def written(scope: Scope) -> None:
        dot = value(scope)
        if not true(dot):
            return _run(otherwise, scope)
        return _run(body, (scope[_ROOT], dot, *scope[_OUTPUT:], *[dot] * names))

    return written


def _range(value: Value, body: list[Write], otherwise: list[Write], names: int) -> Write:
    def written(scope: Scope) -> None:
        items = _pairs(value(scope))
        if not items:
            _run(otherwise, scope)
        for pair in items:
            scope[_OUTPUT].turn()
            _run(body, (scope[_ROOT], pair[1], *scope[_OUTPUT:], *pair[2 - names :][:names]))

    return written


def _pairs(value: Any) -> list[tuple[Any, Any]]:
    """Positions or keys (sorted, as in Go) with their elements."""
    match value:
        case None:
            return []
        case list():
            return list(enumerate(value))
        case dict():
            return sorted(value.items())
    raise TemplateFault("range needs a list or an object")


def _deciding(runs: tuple[Value, ...], *, decisive: bool) -> Value:
    """`and`, `or`: the first value that decides, else the last one."""

    def decided(scope: Scope) -> Any:
        for run in runs:
            value = run(scope)
            if true(value) is decisive:
                break
        return value

    return decided
