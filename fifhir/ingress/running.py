"""POST /api/v1/workflow: messages, or one event, through the workflow.

200 means that every action of every matched route was confirmed, for every message of the body;
202 that what was not is kept as a dead letter, whose id the body has, or, if asked to answer so
early, that every message is in the journal. A message that was there before is not delivered again.
A batch is all or nothing before it begins: with a broken message in it, it is answered 422 and
nothing has run. Then the messages run in order, or are recorded in order, some hundreds with one
commit. At the first whose action fails, or that is not recorded, the answer is 503 and says how
many were `processed` before it; the sender, who sends all of it again, repeats those: at least
once.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Sequence
from time import perf_counter
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from fifhir import intake, tracing
from fifhir.batch import is_single
from fifhir.errors import MessageError, StoreError
from fifhir.event import Warning, encode, event_type
from fifhir.ingress import answers, bodies
from fifhir.ingress.answers import OK_JSON, Problem
from fifhir.ingress.bodies import Feeds
from fifhir.ingress.counting import Sampler
from fifhir.ingress.exchange import Answer, Request, Response
from fifhir.ingress.messages import Broken, broken, unreadable, walk
from fifhir.intake import Feed
from fifhir.journal import Journal
from fifhir.metrics import Catalogue
from fifhir.scoreboard import Slab
from fifhir.signs import Signs
from fifhir.store import Recorded, Repeat
from fifhir.workflow.engine import Workflow
from fifhir.workflow.outcome import ActionResult, Outcome
from fifhir.written import Written

Read: TypeAlias = tuple[bytes, Written]
"""A message and its event."""

_to_json = msgspec.json.Encoder().encode

DEADLINE = 60.0  # seconds a request may run; each destination has a deadline of its own
KNOWN = 16 << 20  # bytes of events of a batch that are kept from reading it to running it
TOGETHER = 200  # messages of a batch that are recorded with one commit
ACK_WHEN = ("after_actions", "after_store")
KEPT = answers.head(202, "application/json")
REPEATED = answers.head(202, "application/json", "Fifhir-Duplicate: true")
_PARENT = tracing.HEADER.encode()
DRY_RUN = {b"": False, b"false": False, b"true": True}


class Action(Struct, frozen=True, rename="camel", omit_defaults=True):
    """What one action came to."""

    route: str
    action: str
    success: bool
    duration_ms: float
    error: str = ""
    error_type: str = ""
    dlq_id: str = ""


class Taken(Struct, frozen=True):
    """An event that went through."""

    id: str
    type: str


class Report(Struct, rename="camel"):
    """What became of the body, message by message in the order they ran."""

    dry_run: bool
    success: bool = True
    routes_matched: list[str] = []
    actions_executed: list[Action] = []
    events: list[Taken] = []
    warnings: list[Warning] = []
    processing_time_ms: float = 0.0
    kept: Literal["", "journal", "dlq"] = ""
    dlq_id: str = ""
    duplicates: int = 0

    def add(self, written: Written, outcome: Outcome) -> None:
        matched = self.routes_matched
        matched += [route for route in outcome.routes_matched if route not in matched]
        self.actions_executed += map(_action, outcome.actions)
        letters = [each.letter for each in outcome.actions if each.letter]
        if letters and not self.dlq_id:
            self.kept, self.dlq_id = "dlq", letters[0]
        self.events.append(Taken(written.id, written.type))

    def add_recorded(self, event: Taken, recorded: Recorded) -> None:
        """A message is in the journal; a repeat is told as it was the first time."""
        self.kept = "journal"
        if isinstance(recorded, Repeat):
            self.duplicates += 1
            event = msgspec.json.decode(recorded.answer, type=Taken)
        self.events.append(event)


class Job(Struct, frozen=True):
    """A request being run since `began`: what its messages come from, and the trace they are in."""

    report: Report
    feed: Feed
    journal: Journal | None
    traceparent: str
    began: float


class Runner:
    """Answers workflow requests."""

    def __init__(  # noqa: PLR0913, PLR0917 - what running stands on
        self,
        feeds: Feeds,
        catalogue: Catalogue,
        slab: Slab,
        signs: Signs,
        workflow: Workflow,
        journal: Journal | None,
        ack_when: str,
    ) -> None:
        self._feeds = feeds
        self._catalogue = catalogue
        self._slab = slab
        self._signs = signs
        self._sampler = Sampler(catalogue, slab)
        self._workflow = workflow
        self._journal = journal
        self._ack_when = ack_when

    def answer(self, request: Request) -> Answer:
        """The request is checked now; what it asks for runs in the coroutine."""
        dry_run = DRY_RUN.get(request.headers.get(b"x-dry-run", b"").strip().lower())
        if dry_run is None:
            raise Problem(400, "bad_dry_run", "X-Dry-Run is true or false.")
        dry_run = dry_run or self._workflow.dry_run
        parent, began = tracing.text(request.headers.get(_PARENT, b"")), perf_counter()
        report = Report(dry_run)
        journal = None if dry_run else self._chosen(request)
        if not bodies.is_json(request):
            feed, _ = self._feeds.named(bodies.raw_source(request))
            return self._run(request.body, Job(report, feed, journal, parent, began))
        envelope = bodies.open_envelope(request.body)
        if bytes(envelope.event):
            event = bodies.to_event(
                envelope.event, secrets.token_hex(16), bodies.default_source(request)
            )
            written = Written(
                *(event_type(event), event.id, event.source, encode(event)), traceparent=parent
            )
            feed, _ = self._feeds.named(event.source)
            return self._run(written, Job(report, feed, None, parent, began))
        source = envelope.source or bodies.default_source(request)
        feed, _ = self._feeds.named(source, envelope.options.profile)
        return self._run(bodies.unwrap(envelope), Job(report, feed, journal, parent, began))

    def _chosen(self, request: Request) -> Journal | None:
        """The journal, if the answer is to be given as soon as the messages are in it."""
        when = request.headers.get(b"x-ack-when", b"").strip().decode("latin-1") or self._ack_when
        if when not in ACK_WHEN:
            raise Problem(400, "bad_ack_when", f"X-Ack-When is {' or '.join(ACK_WHEN)}.")
        return self._journal if when == "after_store" else None

    async def _run(self, load: bytes | Written, job: Job) -> Response:
        report = job.report
        try:
            async with asyncio.timeout(DEADLINE):
                if isinstance(load, bytes):
                    await self._run_messages(load, job)
                else:
                    outcome = await self._workflow.run(load, b"", dry_run=report.dry_run)
                    self._note(load, outcome, report)
        except TimeoutError as late:
            raise Problem(
                503,
                "deadline",
                "The workflow did not end in time; nothing is promised.",
                processed=len(report.events),
            ) from late
        report.processing_time_ms = round((perf_counter() - job.began) * 1000, 3)
        if not report.kept:
            return Response(200, OK_JSON, _to_json(report))
        repeated = report.duplicates == len(report.events)
        return Response(202, REPEATED if repeated else KEPT, _to_json(report))

    async def _run_messages(self, body: bytes, job: Job) -> None:
        began = perf_counter()
        plain = intake.read_plain(body, job.feed)
        if plain or is_single(body):
            await self._take([(body, self._read(body, job, plain, began))], job)
            return
        known, group = deque(await self._check(body, job)), list[Read]()
        most = _group(job.journal)
        async for raw in walk(body, job.report.warnings):
            group.append((raw, known.popleft() if known else self._read(raw, job)))
            if len(group) >= most:
                await self._take(group, job)
                group = []
        if group:
            await self._take(group, job)

    def _read(
        self, raw: bytes, job: Job, plain: Written | None = None, began: float = 0.0
    ) -> Written:
        """The event of a message, as far as `plain` is not it already."""
        began = began or perf_counter()
        try:
            written = plain or intake.read_written(raw, job.feed)
        except MessageError as fault:
            trace_id = tracing.begin(job.traceparent).trace_id
            self._signs.refused(fault, job.feed.source, trace_id)
            told = unreadable([broken(0, fault)], any_hl7=True)
            told.extra["traceId"] = trace_id
            raise told from fault
        if not job.report.dry_run:
            self._signs.parsed(written, job.traceparent, ("http", len(raw)), began)
        return written

    async def _check(self, body: bytes, job: Job) -> list[Written]:
        """Every message can be read, and there is one; else nobody has been promised anything.

        The events of the first `KNOWN` bytes are told, so that they are not read again.
        """
        faults, known = list[Broken](), list[Written]()
        index, room, any_hl7 = 0, KNOWN, False
        async for raw in walk(body, []):
            any_hl7 = any_hl7 or raw.startswith(b"MSH")
            try:
                began = perf_counter()
                written = intake.read_written(raw, job.feed)
            except MessageError as fault:
                self._slab.add(self._catalogue.error("parse"))
                faults.append(broken(index, fault))
            else:
                room -= len(written.json)
                if room >= 0:
                    known.append(written)
                    if not job.report.dry_run:
                        self._signs.parsed(written, job.traceparent, ("http", len(raw)), began)
            index += 1
        if faults or not index:
            raise unreadable(faults, any_hl7=any_hl7)
        return known

    async def _take(self, messages: Sequence[Read], job: Job) -> None:
        report = job.report
        if job.journal is None:
            for raw, written in messages:
                outcome = await self._workflow.run(written, raw, dry_run=report.dry_run)
                self._note(written, outcome, report)
        else:
            await self._record(messages, report, job.journal)
        if not report.dry_run:
            for raw, written in messages:
                self._signs.answered(written, "http", job.began)
                self._sampler.look(raw, job.feed, written.type)

    async def _record(self, messages: Sequence[Read], report: Report, journal: Journal) -> None:
        """The messages are in the journal, for the first time or not; a Problem if none is."""
        began = perf_counter()
        try:
            recorded = await intake.record(messages, journal, _told)
        except StoreError as fault:
            raise Problem(
                503,
                "not_kept",
                "The message could not be recorded; send it again.",
                traceId=messages[0][1].trace.trace_id,
                processed=len(report.events),
            ) from fault
        for (_, written), each in zip(messages, recorded, strict=True):
            self._signs.recorded(written, began)
            report.add_recorded(Taken(written.id, written.type), each)
            if isinstance(each, Repeat):
                self._slab.add(self._catalogue.duplicates)

    def _note(self, written: Written, outcome: Outcome, report: Report) -> None:
        """The outcome is reported; one that failed ends the request."""
        if not outcome.success:
            raise Problem(
                503,
                "action_failed",
                "An action failed and its event was not kept; send the message again.",
                traceId=written.trace.trace_id,
                processed=len(report.events),
                failedActions=[
                    _action(each) for each in outcome.actions if each.status == "failed"
                ],
            )
        report.add(written, outcome)


def _group(journal: Journal | None) -> int:
    """How many messages of a batch are dealt with together: one after another, or by a commit."""
    return 1 if journal is None else TOGETHER


def _told(written: Written) -> bytes:
    return _to_json(Taken(written.id, written.type))


def _action(result: ActionResult) -> Action:
    elapsed = round(result.duration_ms, 3)
    fine = result.status in {"delivered", "skipped"}
    return Action(
        *(result.route, result.action, fine, elapsed, result.error),
        *(result.error_type, result.letter),
    )
