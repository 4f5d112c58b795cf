"""MLLP messages for each second of server CPU: read, made an event, routed, acknowledged.

The workflow has one route that the event does not take, so what a destination costs is not in it.
Server on one core, the sender on another. No two messages have the same control id.
"""

import selectors
import socket
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks import rounds, servers
from benchmarks.messages import ADT
from benchmarks.servers import Daemon

WORKFLOW = """\
name: none
routes:
  - name: r
    filter: {event_type: lab_result}
    actions: [{type: log}]
"""
END = b"\x1c\r"
ACCEPTED = b"\rMSA|CA|"  # what the message asks for
CASES = {"ack by ack": (32, 1), "pipelined": (1, 64)}  # connections, messages on the way in each
WARM = 0.5  # seconds


def measure(*, quick: bool) -> dict[str, object]:
    """The section `mllp` of the results."""
    seconds, trials = (1.0, 2) if quick else (4.0, 7)
    core = rounds.cores()[0]
    with TemporaryDirectory() as folder:
        workflow = Path(folder, "workflow.yaml")
        workflow.write_text(WORKFLOW)
        with servers.mllp(workflow, core) as (daemon, port):
            found: dict[str, list[dict[str, float]]] = {name: [] for name in CASES}
            for name, (connections, window) in CASES.items():
                _trial(daemon, port, connections, window, WARM)
                found[name] = []
            for _ in range(trials):
                for name, (connections, window) in CASES.items():
                    found[name].append(_trial(daemon, port, connections, window, seconds))
    return {
        "trials": trials,
        "seconds": seconds,
        "message_bytes": len(ADT),
        "rows": [_row(name, found[name]) for name in CASES],
    }


def _row(name: str, trials: list[dict[str, float]]) -> dict[str, object]:
    connections, window = CASES[name]
    return {
        "case": name,
        "connections": connections,
        "window": window,
        "messages_per_cpu_second": round(median(each["per_cpu_second"] for each in trials)),
        "messages_per_second": round(median(each["per_second"] for each in trials)),
    }


class Sender:
    """One connection with a number of messages on their way, as many as were answered.

    They are from `facility` (MSH-4).
    """

    def __init__(
        self, port: int, window: int, numbers: "count[int]", facility: bytes = b"NORTHFIELD"
    ) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        message = ADT.replace(b"|NORTHFIELD|", b"|%b|" % facility, 1)
        self._head, self._tail = message.split(b"NF00048213", 1)
        self._numbers = numbers
        self._rest = b""
        self.send(window)

    def send(self, number: int) -> None:
        head, tail, numbers = self._head, self._tail, self._numbers
        frames = [b"\x0b%b%d%b\x1c\r" % (head, next(numbers), tail) for _ in range(number)]
        self.sock.sendall(b"".join(frames))

    def take(self) -> int:
        """The answers that have come, for each of which one more message is sent."""
        data = self._rest + self.sock.recv(1 << 20)
        whole, end, self._rest = data.rpartition(END)
        answered = whole.count(ACCEPTED)
        if answered != (whole + end).count(END):
            raise RuntimeError("a message was not accepted")
        if answered:
            self.send(answered)
        return answered


def _trial(
    daemon: Daemon, port: int, connections: int, window: int, seconds: float
) -> dict[str, float]:
    numbers, answered = count(1), 0
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        before, began = daemon.cpu_seconds(), time.monotonic()
        for _ in range(connections):
            sender = Sender(port, window, numbers)
            stack.callback(sender.sock.close)
            selector.register(sender.sock, selectors.EVENT_READ, sender)
        while time.monotonic() < began + seconds:
            for key, _ in selector.select(1):
                answered += key.data.take()
        took, cpu = time.monotonic() - began, daemon.cpu_seconds() - before
    return {"per_second": answered / took, "per_cpu_second": answered / cpu}
