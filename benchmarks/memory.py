"""What a worker weighs after the fork, and whether it grows while a million messages pass."""

import socket
from statistics import mean

from benchmarks import servers
from benchmarks.messages import SAMPLES
from benchmarks.servers import Daemon

CONNECTIONS = 8
PIPELINED = 16
LOOKS = 20  # samples of the memory in one run
MANY, SOME = 1_000_000, 40_000


def measure(*, quick: bool) -> dict[str, object]:
    """The section `memory` of the results."""
    with servers.fi_fhir(workers=1) as daemon:
        worker = int(daemon.workers()[0]["pid"])
        fresh = servers.private_bytes(worker), servers.resident_bytes(worker)
        total = SOME if quick else MANY
        seen, sent = _pass(daemon, worker, total)
        return {
            "private_bytes_after_fork": fresh[0],
            "resident_bytes_after_fork": fresh[1],
            "messages": sent,
            "same_worker": int(daemon.workers()[0]["pid"]) == worker,
            "private_bytes_after": servers.private_bytes(worker),
            "resident_bytes": seen,
            "growth_bytes": round(_growth(seen)),
        }


def _growth(seen: list[int]) -> float:
    """The last quarter's mean over that of the second quarter: the first one warms up."""
    quarter = len(seen) // 4
    return mean(seen[-quarter:]) - mean(seen[quarter : 2 * quarter])


def _pass(daemon: Daemon, worker: int, total: int) -> tuple[list[int], int]:
    """Send ADT and ORU in turn, 16 deep on each of 8 connections; the worker's RSS as they go."""
    requests = _requests()
    clients = [socket.create_connection(("127.0.0.1", daemon.port), 10) for _ in range(CONNECTIONS)]
    burst = CONNECTIONS * PIPELINED
    seen: list[int] = []
    sent = 0
    while sent < total:
        for client in clients:
            client.sendall(requests)
        for client in clients:
            _take(client, PIPELINED)
        sent += burst
        if sent >= total * (len(seen) + 1) / LOOKS:
            seen.append(servers.resident_bytes(worker))
    for client in clients:
        client.close()
    return seen, sent


def _requests() -> bytes:
    head = (
        b"POST /api/v1/parse HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/hl7-v2\r\nContent-Length: %d\r\n\r\n"
    )
    small = [sample.raw for sample in SAMPLES if len(sample.raw) < 10_000]
    each = [small[n % len(small)] for n in range(PIPELINED)]
    return b"".join(head % len(raw) + raw for raw in each)


def _take(client: socket.socket, answers: int) -> None:
    """Read that many answers, all of them 200; RuntimeError otherwise."""
    held = b""
    while answers:
        chunk = client.recv(1 << 18)
        if not chunk:
            raise RuntimeError("fi-fhir closed the connection")
        held += chunk
        at = 0
        while answers and (end := held.find(b"\r\n\r\n", at)) >= 0:
            head = held[at:end].lower()
            if not head.startswith(b"http/1.1 200 "):
                raise RuntimeError(f"fi-fhir answered {head[:40]!r}")
            size = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            if len(held) < end + 4 + size:
                break
            at = end + 4 + size
            answers -= 1
        held = held[at:]
