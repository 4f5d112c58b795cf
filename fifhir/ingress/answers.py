"""How answers are written: heads made once, errors as RFC 9457 problem+json in fixed words.

An error body also has the keys of the API's ErrorResponse (error, message, requestId, timestamp),
and `traceId`, under which the log has what there is to say.
Nothing a sender wrote is in it but the two ids, which are checked first.
"""

import re
import secrets
from datetime import UTC, datetime
from http import HTTPStatus

import msgspec

from fifhir import tracing
from fifhir.ingress.exchange import Fault, Request, Response

RETRY_AFTER = 1  # seconds; our troubles of this kind pass quickly
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")

FAULTS = {
    "unauthorized": "This needs a key or token: Authorization: Bearer KEY, or X-API-Key: KEY.",
    "forbidden": "This key, token or certificate has not the scope that this needs.",
    "too_many_failures": "Too many requests of this address had no valid key; wait.",
    "no_token_keys": "The keys that tokens are checked with are being fetched; send it again.",
    "bad_request": "The request is not valid HTTP/1.1.",
    "bad_host": "A request needs exactly one valid Host header.",
    "repeated_header": "A header that may stand only once was sent more than once.",
    "bad_transfer_encoding": "Transfer-Encoding does not go with HTTP/1.0 or with Content-Length.",
    "chunk_overhead": "The chunks are mostly framing; send larger ones.",
    "request_timeout": "The request did not arrive in time.",
    "body_too_large": "The body is larger than this server takes (server.max_body_bytes).",
    "target_too_long": "The request target is too long.",
    "content_encoding": "Bodies are taken without Content-Encoding only.",
    "expectation_failed": "The only expectation this server meets is 100-continue.",
    "header_too_large": "The request headers are too large or too many.",
    "transfer_encoding": "The only transfer coding this server knows is chunked.",
    "upgrade": "This server speaks HTTP/1.1 only, and is no proxy.",
    "http_version": "This server speaks HTTP/1.1 and HTTP/1.0 only.",
    "overloaded": "The server holds as much as it may; send the request again later.",
}


class Problem(Exception):
    """The answer is an error: a stable word and a fixed text, further headers and JSON keys."""

    def __init__(
        self, status: int, error: str, message: str, *headers: str, **extra: object
    ) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.message = message
        self.headers = headers
        self.extra = extra


def head(status: int, kind: str, *headers: str) -> bytes:
    """Status line and headers, but for those that belong to the connection."""
    lines = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Type: {kind}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        *headers,
    )
    return "".join(f"{line}\r\n" for line in lines).encode()


OK_JSON = head(200, "application/json")


def problem(fault: Problem, request_id: str) -> Response:
    """The error as the client gets it."""
    status, headers = fault.status, fault.headers
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": fault.message,
        "error": fault.error,
        "message": fault.message,
        "requestId": request_id,
        "timestamp": timestamp(),
        **fault.extra,
    }
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers = (*headers, f"Retry-After: {RETRY_AFTER}")
    lines = head(status, "application/problem+json", f"X-Request-Id: {request_id}", *headers)
    return Response(status, lines, msgspec.json.encode(body))


def refusal(fault: Fault) -> Response:
    """The answer to a request nobody read to its end."""
    trace_id = tracing.begin("").trace_id
    told = Problem(
        fault.status, fault.reason, FAULTS[fault.reason], *fault.headers, traceId=trace_id
    )
    return problem(told, secrets.token_hex(8))


def request_id(request: Request) -> str:
    """The client's id of the request if it is one we can repeat, else a new one."""
    given = request.headers.get(b"x-request-id", b"").strip()
    return given.decode() if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def timestamp() -> str:
    """Now, as RFC 3339 writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
