"""Acknowledgments with our own times and control ids; in HTTP where `Accept` asks for them.

Over HTTP the status says the same as the acknowledgment: 200 and 202 with AA, 422 with AE or AR,
503 with AR and ERR-3 207, which promises nothing. What is refused before anybody looks at the
message is answered as always; so are a batch and a dry run, which nothing acknowledges.
"""

import secrets
import time
from collections.abc import Callable
from functools import lru_cache
from itertools import count
from typing import Any

from fifhir import ack
from fifhir.batch import is_single
from fifhir.errors import MessageError
from fifhir.ingress import answers, bodies
from fifhir.ingress.answers import Problem
from fifhir.ingress.exchange import Answer, Request, Response

NOT_NOW = MessageError("not_now", "not accepted for a reason of ours; send it again", code="207")
ACCEPT = frozenset(bodies.RAW_TYPES - {b"text/plain"})
KIND = b"Content-Type: application/hl7-v2"


class Acknowledger:
    """Writes the acknowledgments of one listener."""

    def __init__(self, mode: ack.Mode, signature: ack.Signature = ack.ANONYMOUS) -> None:
        self.mode: ack.Mode = mode
        self.signature = signature
        prefix = secrets.token_hex(5).upper().encode()  # no two workers have the same
        self.ids = (b"%b%010d" % (prefix, number) for number in count(1))

    def answer(self, message: bytes, wrong: MessageError | None) -> list[bytes]:
        """The acknowledgments that are due to a message."""
        head = ack.header(message)
        return [
            ack.encode(
                *(head, code, wrong),
                written=now().decode(),
                control_id=next(self.ids).decode(),
                signature=self.signature,
            )
            for code in ack.codes(head, wrong, self.mode)
        ]


def now() -> bytes:
    """The time as MSH-7 has it."""
    return _written(int(time.time()))


@lru_cache(maxsize=1)
def _written(seconds: int) -> bytes:
    return time.strftime("%Y%m%d%H%M%S+0000", time.gmtime(seconds)).encode()


def acknowledging(handler: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
    """The same answers, but as acknowledgments to whoever asks for them."""
    acknowledger = Acknowledger("application")

    def answer(request: Request) -> Answer:
        message = _message(request) if _asked(request) else b""
        if not message:
            return handler(request)
        return _acknowledged(handler, request, message, acknowledger)

    return answer


async def _acknowledged(
    handler: Callable[[Request], Answer],
    request: Request,
    message: bytes,
    acknowledger: Acknowledger,
) -> Response:
    wrong: MessageError | None = None
    try:
        _check(message)
        answer: Any = handler(request)
        response: Response = answer if isinstance(answer, Response) else await answer
    except Problem as problem:
        cause = NOT_NOW if problem.status == 503 else problem.__cause__
        if not isinstance(cause, MessageError):
            raise
        wrong = cause
        response = answers.problem(problem, answers.request_id(request))
    return _instead(response, b"".join(acknowledger.answer(message, wrong)))


def _check(message: bytes) -> None:
    """What cannot be acknowledged does not run."""
    if wrong := ack.fault(ack.header(message)):
        raise Problem(422, wrong.reason, "The message cannot be acknowledged.") from wrong


def _instead(response: Response, body: bytes) -> Response:
    """The answer with another body, which is HL7."""
    lines = response.head.split(b"\r\n")
    head = b"\r\n".join(KIND if line.startswith(b"Content-Type:") else line for line in lines)
    return Response(response.status, head, body)


def _asked(request: Request) -> bool:
    accept = request.headers.get(b"accept", b"")
    if b"/hl7-v2" not in accept or b"x-dry-run" in request.headers:
        return False
    return any(kind.partition(b";")[0].strip() in ACCEPT for kind in accept.split(b","))


def _message(request: Request) -> bytes:
    """The message of a request; nothing if it brings several, or an event."""
    if not bodies.is_json(request):
        body = request.body
    else:
        envelope = bodies.open_envelope(request.body)
        body = b"" if bytes(envelope.event) else bodies.unwrap(envelope)
    return body if is_single(body) else b""
