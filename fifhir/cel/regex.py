"""Regular expressions in time linear in the text, whatever the pattern: RE2's way and syntax.

A pattern becomes a Thompson automaton, and that a deterministic one, a state at a time and only
as texts need them (R. Cox, "Regular Expression Matching Can Be Simple And Fast", 2007). There is
nothing to go back to, so no pattern and no text can take exponential time, as with `re`. Only
whether a text matches is asked, so groups capture nothing and lazy repeats are as greedy ones.
"""

from functools import lru_cache

from fifhir.cel.pattern import WORD, Program, parse
from fifhir.errors import CelFault

MOVE_LIMIT = 20_000  # moves between deterministic states that are kept; past it all are made anew
WORK_LIMIT = 300_000  # nodes one search may visit while it makes states: some 0.1 s
_BEGIN, _NEWLINE, _OTHER, _LETTER = range(4)  # what stands before a position


class _State:
    """What may have been read so far; `moves` leads on from it by the next letter."""

    __slots__ = ("before", "cores", "moves")

    def __init__(self, cores: frozenset[int], before: int) -> None:
        self.cores = cores
        self.before = before
        self.moves: dict[str, _State] = {}


_MATCHED = _State(frozenset(), _BEGIN)


class Regex:
    """A compiled pattern; `search` says whether any part of a text matches it."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._forget()

    def search(self, text: str) -> bool:
        """Whether the pattern matches anywhere in the text."""
        self._work = 0
        state = self._first
        for letter in text:
            state = state.moves.get(letter) or self._step(state, letter)
            if state is _MATCHED:
                return True
        return (state.moves.get("") or self._step(state, "")) is _MATCHED

    def _forget(self) -> None:
        self._states: dict[tuple[frozenset[int], int], _State] = {}
        self._moves = 0
        self._first = self._state(frozenset((self._program.start,)), _BEGIN)

    def _state(self, cores: frozenset[int], before: int) -> _State:
        key = (cores, before)
        if key not in self._states:
            self._states[key] = _State(cores, before)
        return self._states[key]

    def _step(self, state: _State, letter: str) -> _State:
        """The state after the letter, which is "" at the end; _MATCHED once a match is complete."""
        if self._moves > MOVE_LIMIT:
            self._forget()
        self._moves += 1
        reached = self._reached(state, letter)
        self._work += len(reached)
        if self._work > WORK_LIMIT:
            raise CelFault("matches() would take too long on this text")
        following = _MATCHED
        if self._program.accept not in reached:
            cores = {self._program.start}  # a match may begin at every position
            for number in reached:
                node = self._program.nodes[number]
                if node.accepts is not None and letter and node.accepts(letter):
                    cores.add(node.target)
            following = self._state(frozenset(cores), _kind(letter))
        state.moves[letter] = following
        return following

    def _reached(self, state: _State, letter: str) -> set[int]:
        """All nodes that are reached without reading, between what was read and the letter."""
        reached: set[int] = set()
        waiting = list(state.cores)
        holds = _anchors(state.before, letter)
        while waiting:
            number = waiting.pop()
            if number not in reached:
                reached.add(number)
                node = self._program.nodes[number]
                if node.accepts is None and (node.anchor is None or node.anchor in holds):
                    waiting += node.forks
        return reached


def _kind(letter: str) -> int:
    if letter == "\n":
        return _NEWLINE
    return _LETTER if letter in WORD else _OTHER


def _anchors(before: int, letter: str) -> frozenset[str]:
    """The anchors that hold between what stands before and the letter after."""
    at_boundary = (before == _LETTER) != (letter in WORD)
    names = {"boundary" if at_boundary else "inside"}
    if before == _BEGIN:
        names |= {"begin", "line_begin"}
    if before == _NEWLINE:
        names.add("line_begin")
    if not letter:
        names |= {"end", "line_end"}
    if letter == "\n":
        names.add("line_end")
    return frozenset(names)


@lru_cache(maxsize=256)
def compile(pattern: str) -> Regex:
    """The pattern ready to search with. Raises CelFault if it is none."""
    return Regex(parse(pattern))
