"""One MLLP message: through the workflow, and what is answered.

A frame holds one message. An acknowledgment that accepts is made only when the message is in the
journal, or every action of every matched route was confirmed or kept, as the listener says.
Content that fails again when sent again is refused with AE or AR; our own trouble is not answered
at all, so that the sender sends the message again.
"""

from collections.abc import Callable, Coroutine
from functools import partial
from time import perf_counter
from typing import Any, TypeAlias

from fifhir import ack, intake, tracing
from fifhir.errors import MessageError, StoreError
from fifhir.ingress.acknowledging import NOT_NOW, Acknowledger, now
from fifhir.ingress.counting import Sampler
from fifhir.intake import Feed
from fifhir.journal import Journal
from fifhir.listener import ListenerSettings
from fifhir.logs import Log
from fifhir.metrics import Catalogue
from fifhir.mllp import frame
from fifhir.profile.choosing import Profiles
from fifhir.scoreboard import Slab
from fifhir.signs import Signs
from fifhir.stencil import Stencil, Stencils
from fifhir.store import Repeat
from fifhir.workflow.engine import Workflow
from fifhir.workflow.outcome import Outcome
from fifhir.written import Written

Found: TypeAlias = tuple[Stencil, bytes]
Accept: TypeAlias = Callable[[], bytes]
Reply: TypeAlias = bytes | None
"""The frames to send back, empty if the message wants none; None: no promise, close."""


class Receiver:
    """Answers the messages of one listener."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a listener stands on
        self,
        settings: ListenerSettings,
        profiles: Profiles,
        workflow: Workflow,
        catalogue: Catalogue,
        slab: Slab,
        signs: Signs,
        log: Log,
        journal: Journal | None,
    ) -> None:
        self._feed = Feed.of(settings.source, profiles, settings.profile)
        signature = ack.Signature(
            settings.application.encode(), settings.facility.encode(), settings.error_segment
        )
        self._trouble = NOT_NOW if settings.on_transient == "AR" else None
        self._acknowledger = Acknowledger(settings.ack, signature)
        self._stencils = Stencils(settings.ack, signature)
        self._workflow = workflow
        self._journal = journal if settings.ack_when == "after_store" else None
        self._catalogue = catalogue
        self._slab = slab
        self._signs = signs
        self.arrived = signs.arrived
        self._trace_field = settings.trace_field
        self._sampler = Sampler(catalogue, slab)
        self._log = log

    def answer(self, message: bytes) -> Reply | Coroutine[Any, Any, Reply]:
        """What to send back; a coroutine of it where that has to wait for something."""
        found = self._stencils.find(message)
        if found is None and (wrong := ack.fault(ack.header(message))):
            return self._refuse(message, wrong)
        began = perf_counter()
        try:
            raw, written = intake.read_alone(message, self._feed)
        except MessageError as fault:
            return self._refuse(message, fault)
        reply = partial(self._accept, message, found)
        self._signs.parsed(written, self._traceparent(raw), ("mllp", len(raw)), began)
        if self._journal is not None:
            return self._record(raw, written, reply, self._journal, began)
        outcome = self._workflow.start(written, raw)
        if isinstance(outcome, Outcome):
            return self._told(raw, written, reply, outcome, began)
        return self._run(raw, written, reply, outcome, began)

    def _traceparent(self, raw: bytes) -> str:
        """What the message says of its trace, if this listener's messages do."""
        if not self._trace_field:
            return ""
        message, _ = intake.opened(raw, self._feed)
        return tracing.text(message.sent(self._trace_field).encode())

    def fail(self, reason: str, trace_id: str = "") -> None:
        """A message gets no answer: that is our own trouble."""
        self._count("failed")
        told = {"trace_id": trace_id} if trace_id else {}
        self._log.warn("message not acknowledged", reason=reason, source=self._feed.source, **told)

    def _acknowledge(self, message: bytes, wrong: MessageError | None) -> bytes:
        return b"".join(map(frame, self._acknowledger.answer(message, wrong)))

    def _accept(self, message: bytes, found: Found | None) -> bytes:
        if found is None:
            return self._acknowledge(message, None)
        stencil, control_id = found
        return stencil.fill(now(), self._acknowledger.ids, control_id)

    def _refuse(self, message: bytes, wrong: MessageError) -> bytes:
        self._note(wrong)
        return self._acknowledge(message, wrong)

    async def _run(
        self,
        raw: bytes,
        written: Written,
        reply: Accept,
        running: Coroutine[Any, Any, Outcome],
        began: float,
    ) -> Reply:
        return self._told(raw, written, reply, await running, began)

    def _told(
        self, raw: bytes, written: Written, reply: Accept, outcome: Outcome, began: float
    ) -> Reply:
        """The acknowledgment, if every action was confirmed or kept."""
        self._sampler.look(raw, self._feed, written.type)
        self._signs.answered(written, "mllp", began)
        if outcome.success:
            self._count("accepted")
            return reply()
        self.fail("action_failed", written.trace.trace_id)
        return self._not_now(raw)

    async def _record(
        self, raw: bytes, written: Written, reply: Accept, journal: Journal, began: float
    ) -> Reply:
        """The acknowledgment of a message that is in the journal."""
        answer, sent = reply(), perf_counter()
        try:
            [recorded] = await intake.record([(raw, written)], journal, lambda _: answer)
        except StoreError as fault:
            self.fail(f"store {fault.kind}", written.trace.trace_id)
            return self._not_now(raw)
        self._signs.recorded(written, sent)
        self._signs.answered(written, "mllp", began)
        self._sampler.look(raw, self._feed, written.type)
        self._count("accepted")
        if isinstance(recorded, Repeat):
            self._slab.add(self._catalogue.duplicates)
            return recorded.answer
        return answer

    def _not_now(self, message: bytes) -> Reply:
        return self._acknowledge(message, self._trouble) if self._trouble else None

    def _note(self, wrong: MessageError) -> None:
        self._count("rejected" if wrong.code in ack.REJECTING else "error")
        self._signs.refused(wrong, self._feed.source, tracing.begin("").trace_id)

    def _count(self, outcome: str) -> None:
        self._slab.add(self._catalogue.mllp[outcome])
