"""A supervisor over workers of ten lines, as a program the tests may treat badly.

Its one argument is JSON: workers, the fields of Limits, and `file`, whose text says what
workers do: any word is what they answer each connection with, before their pid; "broken" cannot
boot, "bad" cannot even be read.
"""

import ctypes
import json
import os
import select
import signal
import sys
import time
from functools import partial
from pathlib import Path

from fifhir import machine, operations
from fifhir.child import Body
from fifhir.errors import ConfigError, Finding
from fifhir.logs import Log
from fifhir.metrics import DROPPED, Catalogue
from fifhir.scoreboard import READY, Scoreboard
from fifhir.supervisor import Limits, Plan, Supervisor

ASKED = json.loads(sys.argv[1])
LOG = Log(1, "info", "json")
CATALOGUE = Catalogue(event_types=("patient_admit",), sources=("epic",), build={"version": "0"})
BOARD = Scoreboard(CATALOGUE, ASKED.get("slots", 16))
SOCKET = machine.listen("127.0.0.1", 0)
DESK = machine.listen("127.0.0.1", 0)
COUNTER = CATALOGUE.event("patient_admit", "epic", True)


def answer_with(word: str, slot: int) -> int:
    if word == "broken":
        raise RuntimeError("cannot boot")
    told_to_stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: None if word == "deaf" else told_to_stop.append(1))
    slab = BOARD.slab(slot)
    slab.state = READY
    while not told_to_stop:
        slab.beat(time.monotonic())
        if select.select([SOCKET], [], [], 0.02)[0]:
            _serve_one(word, slot)
    return 0


def _serve_one(word: str, slot: int) -> None:
    slab = BOARD.slab(slot)
    try:
        peer, _ = SOCKET.accept()
    except BlockingIOError:  # another worker was quicker
        return
    slab.in_flight = 1
    slab.add(COUNTER)
    peer.sendall(f"{word} {_orphan() if word == 'parent' else os.getpid()}".encode())
    if word == "stuck":
        time.sleep(60)
    for _ in range(20 if ASKED.get("chatty") else 0):
        LOG.info("answered", filler="x" * 1000)
    slab.set(DROPPED, LOG.dropped)
    peer.close()
    slab.in_flight = 0


def _orphan() -> int:
    """The pid of a process whose parent is gone and that ends at once itself."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        if os.fork() == 0:
            os.write(writer, str(os.getpid()).encode())
        os._exit(0)
    os.wait()
    return int(os.read(reader, 20))


def read_file() -> Body:
    word = Path(ASKED["file"]).read_text() if "file" in ASKED else "hello"
    if word == "bad":
        raise ConfigError((Finding("workflow.yaml:1:1", "unreadable"),))
    return partial(answer_with, word)


def tell() -> None:
    LOG.info("ready", port=SOCKET.getsockname()[1], operations=DESK.getsockname()[1])


if ASKED.get("adopts"):
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
plan = Plan(
    read_file(),
    ASKED.get("workers", 2),
    partial(operations.run, operations.Desk(DESK, BOARD, "/metrics", LOG)),
    read_file,
    tell,
)
limits = Limits(**{name: ASKED[name] for name in Limits._fields if name in ASKED})
sys.exit(Supervisor(BOARD, LOG, plan, limits).run())
