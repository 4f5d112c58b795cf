"""The daemons that are measured: started, pinned, watched through /proc, stopped."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

STARTS_WITHIN = 30.0  # seconds
PIECE = 2000  # characters
TICKS = os.sysconf("SC_CLK_TCK")

NGINX = """
daemon off;
master_process on;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_buffer_size 64k;
    client_body_temp_path {folder};
    proxy_temp_path {folder};
    fastcgi_temp_path {folder};
    uwsgi_temp_path {folder};
    scgi_temp_path {folder};
    default_type application/json;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        {pieces}
        location / {{ return 200 "{names}"; }}
    }}
}}
"""


class Daemon(NamedTuple):
    """A running server: its first process, its port and, of fi-fhir, the operations port."""

    name: str
    pid: int
    port: int
    operations: int = 0

    def cpu_seconds(self) -> float:
        """User and system time of all its living processes, all threads, so far."""
        return sum(map(_cpu_ticks, family(self.pid))) / TICKS

    def status(self) -> dict[str, Any]:
        """What fi-fhir says of itself."""
        url = f"http://127.0.0.1:{self.operations}/status"
        with urllib.request.urlopen(url, timeout=5) as answer:
            report: dict[str, Any] = json.load(answer)
        return report

    def workers(self) -> list[dict[str, Any]]:
        """The workers' rows of `status`."""
        rows: list[dict[str, Any]] = self.status()["workers"]
        return rows


@contextmanager
def fi_fhir(workers: int, core: int | None = None) -> Iterator[Daemon]:
    """`fi-fhir serve` with its settings as they are, its log written to a file."""
    port, operations = free_port(), free_port()
    command = [sys.executable, "-m", "fifhir", "serve", "--port", str(port)]
    command += ["--metrics-port", str(operations), "--workers", str(workers)]
    with _running("fi-fhir", command, port, core) as started:
        daemon = started._replace(operations=operations)
        wait_until(lambda: _ready(daemon, workers), "all workers of fi-fhir")
        yield daemon


@contextmanager
def delivering(workers: int, workflow: Path, data: Path) -> Iterator[Daemon]:
    """`fi-fhir serve` with a workflow that reaches out, and its store in `data`."""
    port, operations = free_port(), free_port()
    command = ["env", f"FI_FHIR_DATA_DIR={data}", sys.executable, "-m", "fifhir", "serve"]
    command += ["--port", str(port), "--metrics-port", str(operations)]
    command += ["--workers", str(workers), "--workflow", str(workflow)]
    with _running("fi-fhir", command, port, None) as started:
        daemon = started._replace(operations=operations)
        wait_until(lambda: _ready(daemon, workers), "all workers of fi-fhir")
        yield daemon


@contextmanager
def mllp(workflow: Path, core: int, **environ: str) -> Iterator[tuple[Daemon, int]]:
    """`fi-fhir serve` with one worker that takes MLLP, and the port it takes it on."""
    ports = {name: free_port() for name in ("port", "metrics-port")}
    framed = free_port()
    environ |= {"FI_FHIR_MLLP_ENABLED": "true", "FI_FHIR_MLLP_PORT": str(framed)}
    command = ["env", *(f"{name}={value}" for name, value in environ.items()), sys.executable]
    command += ["-m", "fifhir", "serve", "--workers", "1", "--workflow", str(workflow)]
    command += [f"--{name}={port}" for name, port in ports.items()]
    with _running("fi-fhir", command, ports["port"], core) as started:
        daemon = started._replace(operations=ports["metrics-port"])
        wait_until(lambda: _ready(daemon, 1), "the worker of fi-fhir")
        yield daemon, framed


@contextmanager
def nginx(body: bytes, core: int) -> Iterator[Daemon]:
    """One worker that answers every request with `body`, in which is neither quote nor dollar."""
    port = free_port()
    binary = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    with TemporaryDirectory() as folder:
        config = Path(folder, "nginx.conf")
        config.write_text(NGINX.format(folder=folder, port=port, **_replied(body.decode())))
        command = [binary or "nginx", "-p", folder, "-c", str(config)]
        with _running("nginx", command, port, core) as daemon:
            yield daemon


def _replied(body: str) -> dict[str, str]:
    """The reply in pieces: a parameter of nginx is 4 KB at most."""
    pieces = [body[start : start + PIECE] for start in range(0, len(body), PIECE)]
    return {
        "pieces": " ".join(f'set $piece{n} "{text}";' for n, text in enumerate(pieces)),
        "names": "".join(f"$piece{n}" for n in range(len(pieces))),
    }


@contextmanager
def aiohttp(body: bytes, core: int) -> Iterator[Daemon]:
    """An aiohttp application on uvloop that reads the request and answers with `body`."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.idle", str(port), body.decode()]
    with _running("aiohttp", command, port, core) as daemon:
        yield daemon


@contextmanager
def _running(
    name: str,
    command: list[str],
    port: int,
    core: int | None,
) -> Iterator[Daemon]:
    pinned = ["taskset", "-c", str(core)] if core is not None else []
    with TemporaryDirectory() as folder, Path(folder, "log").open("w+b") as log:
        process = subprocess.Popen(
            [*pinned, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            wait_until(lambda: _listens(process, port), name)
            yield Daemon(name, process.pid, port)
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read(4000).decode(errors="replace"))
            raise
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _listens(process: "subprocess.Popen[bytes]", port: int) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"{process.args!r} ended with status {process.returncode}")
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _ready(daemon: Daemon, workers: int) -> bool:
    try:
        rows = daemon.workers()
    except OSError:
        return False
    return len(rows) == workers and all(row["state"] == "ready" for row in rows)


def wait_until(holds: Callable[[], bool], what: str, seconds: float = STARTS_WITHIN) -> None:
    """Return once `holds()` is true; TimeoutError names `what` was waited for."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.02)


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            found += map(int, task.read_text().split())
    return found


def _cpu_ticks(pid: int) -> int:
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(after_name[11]) + int(after_name[12])  # utime, stime


def private_bytes(pid: int) -> int:
    """What the process would give back if it ended: its unique set size."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Private_"))


def resident_bytes(pid: int) -> int:
    """The process's resident set size."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
