"""A tree of CEL into one Python closure, with the types that are known checked on the way.

A closure takes the scope: the document, what loops may still spend, then the variables of the
macros around it, innermost last. A chain of fields is one closure and not a chain of them, and so
is a comparison with a literal; that is what keeps a condition under a microsecond.

Types are checked here where they are known (literals, what functions give); all else is of the
document, so checked when it runs.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from fifhir.cel import operators, regex
from fifhir.cel.functions import GLOBALS, MEMBERS, STRING, Function, Kinds
from fifhir.cel.macros import MACROS, NESTING_LIMIT
from fifhir.cel.operators import Run, Scope
from fifhir.cel.parser import Call, Entries, Items, Literal, Name, Node, Select
from fifhir.cel.values import TYPES, Type, Uint, is_key, mismatch, type_name
from fifhir.errors import CelError, CelFault

Path: TypeAlias = tuple[str | None, ...]
"""Where in the document something is; None stands for any element of a list."""

KindAt: TypeAlias = Callable[[Path], type | None]

ROOT = "event"
_FIRST_VARIABLE = 2  # in the scope, behind the document and the allowance
_TYPE_NAMES = {name: Type(name) for name in TYPES.values()}


@dataclass(frozen=True, slots=True)
class Term:
    """What a node became. `chain` is a scope's slot and the fields read from it, if it is that."""

    run: Run
    kind: type | None = None
    constant: bool = False
    path: Path | None = None
    chain: tuple[int, tuple[str, ...]] | None = None

    @property
    def value(self) -> Any:
        """What a constant is."""
        return self.run(())


class Use(NamedTuple):
    """A field of the document that a condition reads, and where the condition says so."""

    path: Path
    column: int


class Compiler:
    """Compiles one expression.

    `uses` are the fields it reads, `needs` those of them that it reads as a whole. `kinds` says
    what type is at a place of the document if it is always the same.
    """

    def __init__(self, kinds: KindAt = lambda _: None) -> None:
        self.uses: list[Use] = []
        self._kinds = kinds
        self._reads: Counter[Path] = Counter()
        self._variables: list[tuple[str, Path | None]] = []

    def term(self, node: Node) -> Term:
        """The closure of a node. Raises CelError."""
        match node:
            case Literal():
                return _constant(Uint(node.value) if node.type == "uint" else node.value)
            case Name():
                return self._name(node)
            case Select():
                return self._select(node)
            case Items():
                return _listed([self.term(item) for item in node.items])
            case Entries():
                return self._map(node)
            case Call():
                return self._call(node)

    def _name(self, node: Name) -> Term:
        for position in range(len(self._variables) - 1, -1, -1):
            name, path = self._variables[position]
            if name == node.name:
                slot = _FIRST_VARIABLE + position
                if path is not None:
                    self._reads[path] += 1
                run, kind = _chained(node.name, slot, ()), self._kind(path)
                return Term(run, kind, path=path, chain=(slot, ()))
        if node.name == ROOT:
            self._reads[()] += 1
            return Term(_chained(ROOT, 0, ()), dict, path=(), chain=(0, ()))
        if node.name in _TYPE_NAMES:
            return _constant(_TYPE_NAMES[node.name])
        raise CelError(
            node.column, f"unknown name '{node.name}'; a field of the event is {ROOT}.{node.name}"
        )

    def _owner(self, node: Node) -> Term:
        """What only a part is asked of, so that it is not needed as a whole."""
        operand = self.term(node)
        if operand.path is not None:
            self._reads[operand.path] -= 1
        return operand

    @property
    def needs(self) -> frozenset[Path]:
        """Where in the document what is there is needed, with everything in it."""
        needed = {path for path, count in self._reads.items() if count > 0}
        for use in sorted(self.uses, key=lambda each: -len(each.path)):
            if not any(path[: len(use.path)] == use.path for path in needed):
                needed.add(use.path)  # that it is there is asked, if nothing else
        return frozenset(needed)

    def _select(self, node: Select) -> Term:
        operand = self._owner(node.operand)
        if operand.kind not in (None, dict):
            raise CelError(node.column, f"a {_called(operand.kind)} has no field '{node.field}'")
        path = self._used(operand, node.field, node.column)
        kind = self._kind(path)
        if operand.chain is None:
            return Term(_field(operand.run, node.field), kind, path=path)
        slot, fields = operand.chain
        fields = (*fields, node.field)
        root = self._variables[slot - _FIRST_VARIABLE][0] if slot else ROOT
        return Term(_chained(root, slot, fields), kind, path=path, chain=(slot, fields))

    def _kind(self, path: Path | None) -> type | None:
        return None if path is None else self._kinds(path)

    def _used(self, operand: Term, field: str, column: int) -> Path | None:
        if operand.path is None:
            return None
        path = (*operand.path, field)
        self.uses.append(Use(path, column))
        self._reads[path] += 1
        return path

    def _map(self, node: Entries) -> Term:
        pairs = [(self.term(key), self.term(value)) for key, value in node.entries]
        for (key, _), (written, _) in zip(pairs, node.entries, strict=True):
            if key.kind not in (None, str, int, Uint):
                raise CelError(written.column, f"a map's key cannot be {_called(key.kind)}")

        def made(scope: Scope) -> dict[Any, Any]:
            found: dict[Any, Any] = {}
            for key, value in pairs:
                name = key.run(scope)
                if not is_key(name) or name in found:
                    raise CelFault("a map's keys must be texts or whole numbers, each once")
                found[name] = value.run(scope)
            return found

        return Term(made, dict)

    def _call(self, node: Call) -> Term:  # noqa: PLR0911 - a return for each kind of call
        if node.name in MACROS and node.member:
            return self._macro(node)
        if node.name == "has" and not node.member:
            return self._has(node)
        function = None if node.name in operators.SIGNS else _found(node)
        terms = [self.term(argument) for argument in node.arguments]
        match node.name:
            case "&&" | "||" | "!":
                return _logical(node, terms)
            case "?:":
                return _choice(node, terms)
            case "-x":
                return _negative(node, *terms)
        if function is None:
            return self._binary(node, *terms)
        return _function(node, function, terms)

    def _binary(self, node: Call, left: Term, right: Term) -> Term:
        try:
            kind = operators.result_type(node.name, left.kind, right.kind)
        except CelFault as fault:
            raise CelError(node.column, str(fault)) from None
        path = self._indexed(node, left, right) if node.name == "[]" else None
        if left.constant and right.constant:
            return _folded(operators.binary(node.name, left.run, right.run), kind)
        if right.constant:
            quick = operators.beside_literal(node.name, left.run, right.value)
            if quick is not None:
                return Term(quick, kind)
        run = operators.binary(node.name, left.run, right.run)
        return Term(run, kind or self._kind(path), path=path)

    def _indexed(self, node: Call, container: Term, key: Term) -> Path | None:
        if container.path is None or not key.constant:
            return None
        self._reads[container.path] -= 1
        if type(key.value) is str:
            return self._used(container, key.value, node.column)
        self._reads[element := (*container.path, None)] += 1
        return element

    def _has(self, node: Call) -> Term:
        if len(node.arguments) != 1 or not isinstance(node.arguments[0], Select):
            raise CelError(node.column, f"has() takes one field, as in has({ROOT}.patient.mrn)")
        selected = node.arguments[0]
        operand = self._owner(selected.operand)
        if operand.kind not in (None, dict):
            raise CelError(selected.column, f"a {_called(operand.kind)} has no fields")
        self._used(operand, selected.field, selected.column)
        run, field = operand.run, selected.field

        def present(scope: Scope) -> bool:
            value = run(scope)
            if type(value) is not dict:
                raise CelFault(f"has() needs a field of a map, not of {type_name(value)}")
            return field in value

        return Term(present, bool)

    def _macro(self, node: Call) -> Term:
        counts, kind, make = MACROS[node.name]
        if len(node.arguments) - 1 not in counts:
            wanted = " or ".join(str(count) for count in sorted(counts))
            raise CelError(node.column, f"{node.name}() takes {wanted} arguments")
        items, variable, *bodies = node.arguments
        if not isinstance(variable, Name):
            raise CelError(variable.column, f"{node.name}() takes a new name first")
        if len(self._variables) >= NESTING_LIMIT:
            raise CelError(node.column, f"macros can be nested {NESTING_LIMIT} deep")
        looped = (
            self._owner(items) if node.name in ("all", "exists", "exists_one") else self.term(items)
        )
        if looped.kind not in (None, list, dict):
            raise CelError(node.column, f"{node.name}() needs a list or a map")
        self._variables.append(
            (variable.name, None if looped.path is None else (*looped.path, None))
        )
        terms = [self.term(body) for body in bodies]
        self._variables.pop()
        for term, body in zip(terms[: None if kind is bool else 1], bodies, strict=False):
            if not (node.name == "map" and len(terms) == 1):
                _demand_boolean(term, body.column, f"{node.name}()")
        return Term(make(looped.run, tuple(term.run for term in terms)), kind)


def _constant(value: Any) -> Term:
    return Term(lambda _: value, type(value), constant=True)


def _folded(run: Run, kind: type | None) -> Term:
    """The value, if it has one: an error of a constant is an error only when it is reached."""
    try:
        return _constant(run(()))
    except CelFault:
        return Term(run, kind)


def _listed(terms: list[Term]) -> Term:
    runs = tuple(term.run for term in terms)
    if all(term.constant for term in terms):
        return _constant([run(()) for run in runs])
    return Term(lambda scope: [run(scope) for run in runs], list)


def _called(kind: type | None) -> str:
    return TYPES[kind].removeprefix("google.protobuf.").lower() if kind else "value"


def _demand_boolean(term: Term, column: int, who: str) -> None:
    if term.kind not in (None, bool):
        raise CelError(column, f"{who} needs true or false, not {_called(term.kind)}")


def _logical(node: Call, terms: list[Term]) -> Term:
    for term, argument in zip(terms, node.arguments, strict=True):
        _demand_boolean(term, argument.column, f"'{node.name}'")
    if node.name == "!":
        return Term(operators.negation(terms[0].run), bool)
    runs = tuple(term.run for term in terms)
    return Term(operators.logical(runs, decisive=node.name == "||"), bool)


def _negative(node: Call, term: Term) -> Term:
    if term.kind not in (None, *operators.NEGATABLE):
        raise CelError(node.column, f"'-' does not work on {_called(term.kind)}")
    run = operators.negative(term.run)
    return _folded(run, term.kind) if term.constant else Term(run, term.kind)


def _choice(node: Call, terms: list[Term]) -> Term:
    condition, yes, no = terms
    _demand_boolean(condition, node.column, "'? :'")
    kind = yes.kind if yes.kind is no.kind else None
    return Term(operators.choice(condition.run, yes.run, no.run), kind)


def _found(node: Call) -> Function:
    """The function that a call means."""
    name, count = node.name, len(node.arguments)
    table = MEMBERS if node.member else GLOBALS
    rows = table.get(name, ())
    for row in rows:
        if len(row.takes) == count:
            return row
    if rows:
        raise CelError(node.column, f"{name}() does not take {count - node.member} arguments")
    if name in (GLOBALS if node.member else MEMBERS):
        shape = f"{name}(x)" if node.member else f"x.{name}()"
        raise CelError(node.column, f"write {shape}")
    if name in MACROS:
        raise CelError(node.column, f"write list.{name}(x, ...)")
    known = ", ".join(sorted((*table, *(MACROS if node.member else ("has",)))))
    raise CelError(node.column, f"unknown function '{name}'; known: {known}")


def _function(node: Call, function: Function, terms: list[Term]) -> Term:
    for term, kinds in zip(terms, function.takes, strict=True):
        if term.kind is not None and term.kind not in kinds:
            raise CelError(node.column, f"{node.name}() does not work on {_called(term.kind)}")
    if node.name == "matches" and terms[1].constant:
        return _searched(node, terms)
    run = _checked(node.name, function, terms)
    if not all(term.constant for term in terms):
        return Term(run, function.gives)
    try:
        value = run(())
    except CelFault as fault:
        raise CelError(node.column, str(fault)) from None
    return Term(lambda _: value, function.gives, constant=True)


def _searched(node: Call, terms: list[Term]) -> Term:
    """matches() with its pattern compiled here."""
    try:
        search = regex.compile(terms[1].value).search
    except CelFault as fault:
        raise CelError(node.arguments[1].column, str(fault)) from None
    return Term(_checked("matches", Function((STRING,), bool, search), terms[:1]), bool)


def _checked(name: str, function: Function, terms: list[Term]) -> Run:
    """The call, which sees only the types it takes."""
    compute = function.run
    runs = [term.run for term in terms]
    first, kinds = runs[0], function.takes[0]
    rest = [term.value for term in terms[1:] if term.constant]
    if len(rest) == len(runs) - 1 and _fit(rest, function.takes[1:]):  # text.startsWith("A")

        def called_on_one(scope: Scope) -> Any:
            value = first(scope)
            if type(value) not in kinds:
                raise mismatch(f"{name}()", value)
            return compute(value, *rest)

        return called_on_one

    def called(scope: Scope) -> Any:
        values = [run(scope) for run in runs]
        for value, kinds in zip(values, function.takes, strict=True):
            if type(value) not in kinds:
                raise mismatch(f"{name}()", *values)
        return compute(*values)

    return called


def _fit(values: list[Any], takes: tuple[Kinds, ...]) -> bool:
    return all(type(value) in kinds for value, kinds in zip(values, takes, strict=True))


def _field(run: Run, field: str) -> Run:
    def selected(scope: Scope) -> Any:
        value = run(scope)
        if type(value) is not dict or field not in value:
            raise CelFault(f"there is no field '{field}'")
        return value[field]

    return selected


def _chained(root: str, slot: int, fields: tuple[str, ...]) -> Run:
    """A variable, or a field of a field of it. What is no map has no fields: TypeError."""
    text = f"there is no field '{'.'.join((root, *fields))}'"
    match fields:
        case ():
            return lambda scope: scope[slot]
        case (one,):

            def first(scope: Scope) -> Any:
                try:
                    return scope[slot][one]
                except (KeyError, TypeError):
                    raise CelFault(text) from None

            return first
        case (one, two):

            def second(scope: Scope) -> Any:
                try:
                    return scope[slot][one][two]
                except (KeyError, TypeError):
                    raise CelFault(text) from None

            return second
        case (one, two, three):

            def third(scope: Scope) -> Any:
                try:
                    return scope[slot][one][two][three]
                except (KeyError, TypeError):
                    raise CelFault(text) from None

            return third

    def deeper(scope: Scope) -> Any:
        value = scope[slot]
        try:
            for field in fields:
                value = value[field]
        except (KeyError, TypeError):
            raise CelFault(text) from None
        return value

    return deeper
