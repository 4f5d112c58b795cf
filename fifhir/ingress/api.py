"""The HTTP API: what each path answers. Sockets are below, HL7 is behind `intake`.

Statuses of the POST routes: 200 done; 400 neither HL7 nor JSON; 413 and 415 a body of a size or a
kind not taken; 422 what fails again when sent again; 503 our own trouble, no promise.
"""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from socket import socket
from typing import Any, Protocol, TypeAlias

import msgspec
from msgspec import Struct

from fifhir import machine, tracing
from fifhir.families import OTHER, PATHS, STATUSES
from fifhir.ingress import answers
from fifhir.ingress.acknowledging import acknowledging
from fifhir.ingress.answers import OK_JSON, Problem
from fifhir.ingress.bodies import Feeds
from fifhir.ingress.entrance import Entrance, Guarded, limited
from fifhir.ingress.exchange import Answer, Fault, Request, Response
from fifhir.ingress.http import Server, limits
from fifhir.ingress.parsing import PARSE, Parser
from fifhir.ingress.replaying import Replayer
from fifhir.ingress.running import Runner
from fifhir.journal import Journal
from fifhir.logs import place
from fifhir.metrics import exposition
from fifhir.signs import Signs
from fifhir.store import Store

REPLAY = "/api/v1/workflow/replay"
NOT_READY = answers.head(503, "application/json", f"Retry-After: {answers.RETRY_AFTER}")
_PARENT = tracing.HEADER.encode()
METRICS = answers.head(200, "text/plain; version=0.0.4; charset=utf-8")

Handler: TypeAlias = Callable[[Request], Answer]


class Served(Guarded, Protocol):
    """A duty with the socket that requests come in on."""

    @property
    def sock(self) -> socket: ...


class Health(Protocol):
    """The store, if there is one, and whether it answers."""

    @property
    def store(self) -> Store | None: ...
    @property
    def trouble(self) -> str: ...


class Route(Struct, frozen=True):
    """One path: the scope a key needs, who answers each method, and the counter of each status."""

    scope: str
    methods: dict[bytes, Handler]
    counters: dict[int, int]
    other: int


def serve(duty: Served, slot: int, signs: Signs, store: Health, journal: Journal | None) -> Server:
    """The API is served on the running loop, until the server is drained."""
    slab, bounds = duty.board.slab(slot), limits(duty.settings.server)
    api = Api(duty, slot, signs, store, journal)
    return Server(duty.sock, api, bounds, duty.board, slab, duty.door)


class Api:
    """The application behind one worker's connections."""

    def __init__(
        self, duty: Served, slot: int, signs: Signs, store: Health, journal: Journal | None
    ) -> None:
        self.arrived = signs.arrived
        self._store = store
        self._board = duty.board
        self._log = duty.log
        self._slab = slab = duty.board.slab(slot)
        self._retired = False
        self._entrance = Entrance.of(duty, slab, slot)
        self._nowhere = self._route(OTHER, {})
        feeds, version = Feeds(duty.profiles), duty.board.catalogue.build["version"]
        open_to_all = not machine.is_loopback(duty.settings.server.host)
        self._told = {} if open_to_all else {"version": version}
        parse = Parser(feeds, duty.board.catalogue, slab)
        run = Runner(
            *(feeds, duty.board.catalogue, slab, signs, duty.workflow, journal),
            ack_when=duty.settings.server.ack_when,
        )
        again = Replayer(store.store, duty.workflow, duty.log)
        self._routes = {
            b"/health": self._route("/health", _readable(self._health)),
            b"/ready": self._route("/ready", _readable(self._ready)),
            PARSE.encode(): self._route(PARSE, {b"POST": parse.answer}, "parse"),
            b"/api/v1/workflow": self._route(
                "/api/v1/workflow", {b"POST": acknowledging(run.answer)}, "workflow"
            ),
            REPLAY.encode(): self._route(REPLAY, {b"POST": again.answer}, "replay"),
        }
        observability = duty.settings.observability
        if observability.metrics_enabled:
            route = self._route("/metrics", _readable(self._metrics), "metrics")
            self._routes[observability.metrics_endpoint.encode()] = route

    # The connection's side (exchange.Application).

    def admit(self, request: Request) -> Fault | None:
        """Whether who sent it may ask this; what needs no scope is open to all."""
        if self._entrance is None:
            return None
        route = self._routes.get(request.target) or self._find(request.target)
        return self._entrance.admit(request, route.scope) if route.scope else None

    def answer(self, request: Request) -> Answer:
        ticket = request.ticket
        return self._answer(request) if ticket is None else limited(ticket, request, self._answer)

    def _answer(self, request: Request) -> Answer:
        route = self._routes.get(request.target) or self._find(request.target)
        try:
            handler = route.methods.get(request.method)
            answer = handler(request) if handler else _no_handler(route)
        except Exception as error:
            answer = self._explain(error, request)
        if isinstance(answer, Response):
            self._count(route, answer)
            return answer
        return self._finish(route, request, answer)

    def refuse(self, fault: Fault) -> Response:
        response = answers.refusal(fault)
        self._count(self._nowhere, response)
        self._slab.add(self._board.catalogue.error("ingress"))
        return response

    def fail(self, error: BaseException, trace_id: str = "") -> None:
        told = {"trace_id": trace_id} if trace_id else {}
        where = place(error.__traceback__)
        self._log.error("request failed", exception=type(error).__name__, place=where, **told)

    def complain(self, what: str, reason: str) -> None:
        self._log.warn(what, reason=reason)

    def retire(self) -> None:
        self._retired = True

    # The routes that need nothing.

    def _health(self, _: Request) -> Response:
        """The process turns; it says nothing of others, so that nobody restarts it for them."""
        return self._state(200, "healthy", {"process": (True, "process is serving")})

    def _ready(self, _: Request) -> Response:
        serving = not self._retired
        said = "process is serving" if serving else "process is draining"
        trouble = self._store.trouble
        kept = f"takes nothing: {trouble}" if trouble else "takes what is given to it"
        parts = {"process": (serving, said), "database": (not trouble, kept)}
        fine = serving and not trouble
        return self._state(200 if fine else 503, "ready" if fine else "not_ready", parts)

    def _state(self, status: int, word: str, parts: dict[str, tuple[bool, str]]) -> Response:
        """The keys of both dialects there are: `checks` and `timestamp`, and `components`.

        Who reaches us from other machines need not know which weaknesses this version has.
        """
        now = answers.timestamp()
        body = {
            "status": word,
            **self._told,
            "checks": {name: "ok" if fine else "error" for name, (fine, _) in parts.items()},
            "components": [
                {"name": name, "status": "healthy" if fine else "unhealthy", "message": said}
                for name, (fine, said) in parts.items()
            ],
            "checked_at": now,
            "timestamp": now,
        }
        head = OK_JSON if status == HTTPStatus.OK else NOT_READY
        return Response(status, head, msgspec.json.encode(body))

    def _metrics(self, _: Request) -> Response:
        return Response(200, METRICS, exposition(self._board))

    # From a target to a counted answer.

    def _route(self, path: str, methods: dict[bytes, Handler], scope: str = "") -> Route:
        label = path if path in PATHS else OTHER
        counter = self._board.catalogue.http
        counters = {status: counter(label, status) for status in STATUSES}
        return Route(scope, methods, counters, counters[0])

    def _find(self, target: bytes) -> Route:
        """The route of a target with a query string or in absolute form (RFC 9112, 3.2.2)."""
        path = target.partition(b"?")[0]
        if path.startswith((b"http://", b"https://")):
            path = b"/" + path.partition(b"//")[2].partition(b"/")[2]
        return self._routes.get(path, self._nowhere)

    async def _finish(
        self, route: Route, request: Request, answer: Coroutine[Any, Any, Response]
    ) -> Response:
        try:
            response = await answer
        except Exception as error:
            response = self._explain(error, request)
        self._count(route, response)
        return response

    def _explain(self, error: Exception, request: Request) -> Response:
        trace_id = tracing.begin(tracing.text(request.headers.get(_PARENT, b""))).trace_id
        if not isinstance(error, Problem):
            self.fail(error, trace_id)
            error = Problem(500, "internal_error", "The server could not answer this request.")
        error.extra.setdefault("traceId", trace_id)
        return answers.problem(error, answers.request_id(request))

    def _count(self, route: Route, response: Response) -> None:
        self._slab.words[route.counters.get(response.status, route.other)] += 1.0


def _readable(handler: Handler) -> dict[bytes, Handler]:
    return {b"GET": handler, b"HEAD": handler}


def _no_handler(route: Route) -> Response:
    if not route.methods:
        raise Problem(404, "not_found", "There is nothing at this path.")
    allowed = b", ".join(sorted(route.methods)).decode()
    raise Problem(405, "method_not_allowed", f"Allowed here: {allowed}.", f"Allow: {allowed}")
