"""`fi-fhir demo`: the daemon, a few hundred invented messages, and what became of them.

The daemon is a real one, in processes of its own on free ports; what is shown is what it tells of
itself at /metrics and /status, and what its answers took.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from fifhir.cli.serve import curl

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from fifhir.cli.tally import Tally

SECONDS = 3.0  # over which messages are spread, so that there is something to see
FASTEST = 100  # messages a second when there are only a few
SENDERS = 8  # connections, kept alive
BOOT_LIMIT = 15.0  # seconds until the daemon must be ready
STOP_LIMIT = 15.0  # seconds it may take to stop
LOOK = 0.2  # seconds between two looks at the daemon's numbers
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
ANSWER_LIMIT = 10.0  # seconds an answer may take

NEXT = """\
Try next:
  fi-fhir demo --print > demo.hl7        the same messages as a file
  fi-fhir parse demo.hl7 | head -n 3     ... and as events, one JSON object a line
  fi-fhir serve                          the daemon; it tells how to post a message"""


def demo(
    messages: Annotated[
        int, typer.Option("--messages", "-n", min=2, max=100_000, help="How many to send.")
    ] = 400,
    serve: Annotated[
        bool, typer.Option("--serve", help="Go on serving afterwards, until Ctrl-C.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--print", help="Only write the messages to stdout; start nothing.")
    ] = False,
) -> None:
    """Start the daemon, send it invented messages, and show what became of them."""
    from fifhir.cli import synthetic

    if show:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        sys.stdout.buffer.write(b"\n".join(synthetic.messages(messages)))
        return
    import asyncio

    with _daemon() as daemon:
        tally = asyncio.run(_play(daemon, list(synthetic.messages(messages))))
        typer.echo(f"\n{NEXT}")
        if serve:
            with contextlib.suppress(KeyboardInterrupt):
                typer.echo(f"\nServing on {daemon.url} until Ctrl-C. Post a message:")
                typer.echo(f"  {curl(daemon.url)}")
                daemon.process.wait()
    if tally.failed:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Daemon:
    """A running `fi-fhir serve` and where it listens."""

    process: subprocess.Popen[bytes]
    url: str
    operations: str


@contextlib.contextmanager
def _daemon() -> Iterator[_Daemon]:
    """A daemon with nothing set but its ports; it ends with this process, however that ends."""
    import ctypes

    prctl = ctypes.CDLL(None).prctl  # loaded before the fork
    port, metrics_port = _free_ports()
    command = [sys.executable, "-P", "-m", "fifhir", "serve", "--port", str(port)]
    command += ["--metrics-port", str(metrics_port)]
    environ = {name: text for name, text in os.environ.items() if not name.startswith("FI_FHIR_")}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 - ourselves
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0),  # noqa: PLW1509
        )
        host = "http://127.0.0.1"
        try:
            _await_ready(process, port, log.fileno())
            yield _Daemon(process, f"{host}:{port}", f"{host}:{metrics_port}")
        finally:
            _stop(process)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


def _await_ready(process: subprocess.Popen[bytes], port: int, log: int) -> None:
    """The daemon says that it is ready; if it cannot, its own words are shown."""
    import http.client

    until = time.monotonic() + BOOT_LIMIT
    while process.poll() is None and time.monotonic() < until:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        with (
            contextlib.closing(connection),
            contextlib.suppress(OSError, http.client.HTTPException),
        ):
            connection.request("GET", "/ready")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.02)
    sys.stderr.buffer.write(os.pread(log, 1 << 16, 0))
    print("the daemon did not start; above is what it said", file=sys.stderr)
    raise typer.Exit(1)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


async def _play(daemon: _Daemon, messages: list[bytes]) -> "Tally":
    """Every message has been posted and answered, or counted as unanswered."""
    import asyncio

    import aiohttp

    from fifhir.cli.tally import Tally, picture

    tally = Tally(len(messages), min(SECONDS, len(messages) / FASTEST))
    numbers = iter(enumerate(messages))
    senders = [asyncio.create_task(_sender(daemon.url, numbers, tally)) for _ in range(SENDERS)]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(ANSWER_LIMIT)) as session:
        with picture(tally, daemon.url) as draw:
            while not all(sender.done() for sender in senders):
                await _look(session, daemon.operations, tally)
                draw()
                await asyncio.wait(senders, timeout=LOOK)
            await asyncio.gather(*senders)
            await _look(session, daemon.operations, tally)
            draw()
    return tally


async def _sender(url: str, numbers: Iterator[tuple[int, bytes]], tally: "Tally") -> None:
    """Post the next message whenever it is due, on a connection of its own, until none is left."""
    import asyncio

    import aiohttp

    async with aiohttp.ClientSession(
        url,
        connector=aiohttp.TCPConnector(limit=1),
        timeout=aiohttp.ClientTimeout(ANSWER_LIMIT),
        headers={"Content-Type": "application/hl7-v2"},
    ) as session:
        for number, raw in numbers:
            await asyncio.sleep(tally.due(number) - time.monotonic())
            started = time.monotonic()
            try:
                async with session.post("/api/v1/workflow", data=raw) as answer:
                    body = await answer.read()
            except (aiohttp.ClientError, TimeoutError) as fault:
                tally.lost(number, type(fault).__name__)
            else:
                tally.answered(number, answer.status, body, time.monotonic() - started)


async def _look(session: "ClientSession", url: str, tally: "Tally") -> None:
    """The tally holds what the daemon says of itself now."""
    async with session.get(f"{url}/metrics") as metrics, session.get(f"{url}/status") as status:
        tally.look(await metrics.text(), await status.json())
