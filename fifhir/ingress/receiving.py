"""One MLLP message: through the workflow, and what is answered.

A frame holds one message. An acknowledgment that accepts is made only when the message is in the
journal, or every action of every matched route was confirmed or kept, as the listener says.
Content that fails again when sent again is refused with AE or AR; our own trouble is not answered
at all, so that the sender sends the message again.
"""

import secrets
import time
from functools import lru_cache

from fifhir import ack, intake
from fifhir.batch import split
from fifhir.errors import MessageError, StoreError
from fifhir.ingress.counting import Sampler, count
from fifhir.intake import Feed
from fifhir.journal import Journal
from fifhir.listener import ListenerSettings
from fifhir.logs import Log
from fifhir.metrics import Catalogue
from fifhir.mllp import frame
from fifhir.profile.choosing import Profiles
from fifhir.scoreboard import Slab
from fifhir.store import Repeat
from fifhir.workflow.engine import Workflow

NOT_NOW = MessageError("not_now", "not accepted for a reason of ours; send it again", code="207")


class Receiver:
    """Answers the messages of one listener."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a listener stands on
        self,
        settings: ListenerSettings,
        profiles: Profiles,
        workflow: Workflow,
        catalogue: Catalogue,
        slab: Slab,
        log: Log,
        journal: Journal | None,
    ) -> None:
        self._feed = Feed.of(settings.source, profiles, settings.profile)
        self._mode: ack.Mode = settings.ack
        self._trouble = NOT_NOW if settings.on_transient == "AR" else None
        self._signature = ack.Signature(
            settings.application.encode(), settings.facility.encode(), settings.error_segment
        )
        self._workflow = workflow
        self._journal = journal if settings.ack_when == "after_store" else None
        self._catalogue = catalogue
        self._slab = slab
        self._sampler = Sampler(catalogue, slab)
        self._log = log
        self._prefix = secrets.token_hex(5).upper()  # no two workers have the same
        self._sent = 0

    async def answer(self, message: bytes) -> bytes | None:
        """The frames to send back, none for a message that wants none; None: no promise, close."""
        head = ack.header(message)
        wrong = ack.fault(head)
        if wrong is not None:
            self._note(wrong)
        else:
            try:
                if self._journal is not None:
                    reply = await self._record(message, head, self._journal)
                    if reply is not None:
                        return reply
                elif await self._accept(message):
                    self._count("accepted")
                    return self._reply(head, None)
                if self._trouble is None:
                    return None
                wrong = self._trouble
            except MessageError as fault:
                self._note(fault)
                wrong = fault
        return self._reply(head, wrong)

    def _reply(self, head: ack.Header, wrong: MessageError | None) -> bytes:
        due = ack.codes(head, wrong, self._mode)
        return b"".join([self._acknowledge(head, code, wrong) for code in due])

    def fail(self, reason: str) -> None:
        """A message gets no answer: that is our own trouble."""
        self._count("failed")
        self._log.warn("message not acknowledged", reason=reason, source=self._feed.source)

    def _acknowledge(self, head: ack.Header, code: str, wrong: MessageError | None) -> bytes:
        self._sent += 1
        return frame(
            ack.encode(
                head,
                code,
                wrong,
                written=_written(int(time.time())),
                control_id=f"{self._prefix}{self._sent:010}",
                signature=self._signature,
            )
        )

    async def _accept(self, message: bytes) -> bool:
        message = _only(message)
        written, outcome = await intake.accept(message, self._feed, self._workflow)
        count(self._slab, self._catalogue, written, outcome)
        self._sampler.look(message, self._feed, written.type)
        if not outcome.success:
            self.fail("action_failed")
        return outcome.success

    async def _record(self, message: bytes, head: ack.Header, journal: Journal) -> bytes | None:
        """The acknowledgment of a message that is in the journal; None if it is not."""
        message, reply = _only(message), self._reply(head, None)
        try:
            written, recorded = await intake.record(message, self._feed, journal, lambda _: reply)
        except StoreError as fault:
            self.fail(f"store {fault.kind}")
            return None
        self._sampler.look(message, self._feed, written.type)
        self._count("accepted")
        if isinstance(recorded, Repeat):
            self._slab.add(self._catalogue.duplicates)
            return recorded.answer
        return reply

    def _note(self, wrong: MessageError) -> None:
        self._count("rejected" if wrong.code in ack.REJECTING else "error")
        self._slab.add(self._catalogue.error("parse"))
        self._log.info(
            "message refused",
            reason=wrong.reason,
            location=wrong.location,
            source=self._feed.source,
        )

    def _count(self, outcome: str) -> None:
        self._slab.add(self._catalogue.mllp[outcome])


def _only(frame: bytes) -> bytes:
    """The message of a frame; an envelope around it is left out."""
    if frame.startswith(b"MSH") and frame.find(b"MSH", 3) < 0:
        return frame
    messages = split(frame)
    if len(messages) > 1:
        raise MessageError("several_messages", "a frame holds one message, and this one holds more")
    return messages[0] if messages else frame


@lru_cache(maxsize=1)
def _written(seconds: int) -> str:
    """A time as MSH-7 has it."""
    return time.strftime("%Y%m%d%H%M%S+0000", time.gmtime(seconds))
