"""What a container may use, and a port that somebody else has."""

import os
import socket
from pathlib import Path

import pytest

from fifhir.machine import address, cpus, listen

V1 = {
    "proc/self/cgroup": "4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "50000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "garbage\n"}, 8),
        (V1, 2),
        ({**V1, "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1"}, 8),
    ],
    ids=["none", "v2", "v2 no limit", "v2 of the parent", "v2 broken", "v1 1.5", "v1 no limit"],
)
def test_cpus_are_those_the_container_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cpus(tmp_path) == expected


def test_port_in_use_is_told_in_one_line() -> None:
    with listen("127.0.0.1", 0) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(OSError, match=rf"^cannot listen on 127\.0\.0\.1:{port}: address al.*$"):
            listen("127.0.0.1", port)


def test_unknown_host_is_told_in_one_line() -> None:
    with pytest.raises(OSError, match=r"^cannot listen on no\.such\.invalid:1: .+$"):
        listen("no.such.invalid", 1)


def test_address_stands_as_in_a_url() -> None:
    with listen("127.0.0.1", 0) as four:
        assert address(four) == f"127.0.0.1:{four.getsockname()[1]}"
    if socket.has_ipv6:
        with listen("::1", 0) as six:
            assert address(six).startswith("[::1]:")
