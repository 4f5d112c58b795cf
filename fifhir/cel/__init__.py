"""CEL, the Common Expression Language: text in, a predicate on a document out.

The subset and where it goes beyond the specification stand in docs/workflows.md. Nothing here
loops without a limit, and no text of an error says what a value was.
"""

from typing import Any

from fifhir.cel.compiler import Compiler, KindAt, Path, Use
from fifhir.cel.macros import LOOP_LIMIT
from fifhir.cel.operators import Run
from fifhir.cel.parser import TEXT_LIMIT, parse
from fifhir.cel.values import TYPES, type_name
from fifhir.errors import CelError, CelFault

__all__ = ["LOOP_LIMIT", "TEXT_LIMIT", "Predicate", "Use", "compile", "evaluate", "no_answer"]


class Predicate:
    """A condition, ready to be asked about any number of documents.

    `uses` are the fields it reads, for whoever knows what a document may have. `needs` are the
    places whose contents it asks for: all else of a document may be left out.
    """

    __slots__ = ("needs", "run", "text", "uses")

    def __init__(self, text: str, run: Run, uses: tuple[Use, ...], needs: frozenset[Path]) -> None:
        self.text = text
        self.uses = uses
        self.needs = needs
        self.run = run

    def __call__(self, document: dict[str, Any]) -> bool:
        """Whether the condition holds. Raises CelFault when it has no answer for this document."""
        value = self.run((document, [LOOP_LIMIT]))
        if value is True or value is False:
            return value
        raise no_answer(value)


def no_answer(value: Any) -> CelFault:
    """Why a condition that came to this value has no answer."""
    return CelFault(f"the condition is {type_name(value)}, neither true nor false")


def compile(text: str, kinds: KindAt = lambda _: None) -> Predicate:
    """The condition that the text means. Raises CelError.

    `kinds` says what is at a place of a document, if that is known, so that what can never be is
    found here: a text that is compared with a number.
    """
    compiler = Compiler(kinds)
    term = compiler.term(parse(text))
    if term.kind not in (None, bool):
        kind = TYPES[term.kind].removeprefix("google.protobuf.").lower()
        raise CelError(1, f"a condition must be true or false, this is {kind}; compare it")
    return Predicate(text, term.run, tuple(compiler.uses), compiler.needs)


def evaluate(text: str, document: dict[str, Any]) -> Any:
    """The value of any expression for one document. Raises CelError and CelFault."""
    return Compiler().term(parse(text)).run((document, [LOOP_LIMIT]))
