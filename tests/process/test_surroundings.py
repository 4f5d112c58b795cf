"""A daemon in surroundings that lack what others have, and clients that want too much of it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.conftest import Running
from tests.waiting import until

Serve = Callable[..., Running]


def test_it_needs_no_home_and_no_temporary_files(serve: Serve, tmp_path: Path) -> None:
    daemon = serve(
        HOME="/nonexistent",
        TMPDIR="/nonexistent",
        XDG_DATA_HOME="/nonexistent",
        FI_FHIR_DATA_DIR=str(tmp_path / "data"),
    )
    assert daemon.status()["workers"]


def test_as_the_first_process_it_reaps_and_ends_when_told(tmp_path: Path) -> None:
    """As in a container without an init: TERM has no default there, and orphans are its own."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("NOT RUN: only root may make a namespace of processes")
    script = tmp_path / "first"
    script.write_text(
        "(sleep 0.2 & ) ; exec "
        f"{sys.executable} -m fifhir serve --port 0 --metrics-port 0 --workers 1\n"
    )
    log = tmp_path / "log"
    words = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", str(script)]
    environ = os.environ | {"FI_FHIR_DATA_DIR": str(tmp_path / "data")}
    with log.open("wb") as out:
        outer = subprocess.Popen(words, stdout=out, stderr=out, env=environ)
    try:
        until(lambda: b'"ready"' in log.read_bytes() or outer.poll() is not None, 30)
        if outer.poll() is not None:
            pytest.skip("NOT RUN: this machine lets nobody make a namespace of processes")
        [first] = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        children = Path(f"/proc/{first}/task/{first}/children")
        states = [Path(f"/proc/{pid}/stat") for pid in children.read_text().split()]
        until(lambda: not any(" Z " in each.read_text() for each in states if each.exists()), 30)
        os.kill(int(first), signal.SIGTERM)
        assert outer.wait(30) == 0
    finally:
        if outer.poll() is None:
            outer.kill()
            outer.wait()


def test_a_scrape_that_nobody_reads_holds_up_no_other(serve: Serve) -> None:
    daemon = serve()
    peers = [socket.create_connection(("127.0.0.1", daemon.operations)) for _ in range(20)]
    try:
        for peer in peers:
            peer.sendall(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n" * 50)
        assert "workflow_dlq_size" in daemon.get("/metrics")
        assert daemon.status()["workers"][0]["state"] == "ready"
    finally:
        for peer in peers:
            peer.close()
