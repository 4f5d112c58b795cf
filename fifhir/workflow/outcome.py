"""What became of one event: every action of every route it took."""

from typing import Literal, TypeAlias

from msgspec import Struct

Status: TypeAlias = Literal["delivered", "kept", "failed", "skipped"]


class ActionResult(Struct, frozen=True):
    """What one action of one route came to; `error` is fixed text, never a field's value.

    Kept: it failed, and `letter` is the id of its dead letter. Failed: that was not kept either.
    """

    route: str
    action: str
    status: Status
    duration_ms: float
    error: str = ""
    error_type: str = ""
    letter: str = ""
    index: int = 0
    """The action's place in its route."""
    began: float = 0.0
    """Seconds by `time.perf_counter`."""


class Outcome(Struct, frozen=True):
    """Who took an event. No route matched is a success: nothing was asked for."""

    routes_matched: tuple[str, ...]
    actions: tuple[ActionResult, ...]
    undecided: int = 0
    """Routes whose condition had no answer for the event, so that it did not take them."""

    @property
    def success(self) -> bool:
        """Whether every action was delivered or is kept: the promise may be given."""
        return all(action.status != "failed" for action in self.actions)

    @property
    def kept(self) -> bool:
        """Whether an action has become a dead letter."""
        return any(action.status == "kept" for action in self.actions)
