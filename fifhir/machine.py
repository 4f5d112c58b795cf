"""What this machine, or this container, lets us have: CPUs, open files, a port."""

import ipaddress
import math
import os
import resource
import socket
from collections.abc import Iterator
from errno import EADDRINUSE
from pathlib import Path

BACKLOG = 4096  # the kernel takes the lesser of this and net.core.somaxconn


def cpus(root: Path = Path("/")) -> int:
    """The CPUs we may use: those we may run on, or our control group's quota if that is less."""
    allowed = len(os.sched_getaffinity(0))
    return max(1, min([allowed, *(math.ceil(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """The quotas of our control group and all above it, in CPUs (cgroups(7), versions 1 and 2).

    In a container the group's name may be the host's; what of it is not there is passed over.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        group = Path(name.lstrip("/"))
        for part in (group, *group.parents):
            quota = _quota(base / part)
            if quota > 0:
                yield quota


def _quota(group: Path) -> float:
    """CPUs this one group may use, 0 when it sets no limit."""
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        return 0.0 if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return 0.0


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def raise_file_limit() -> None:
    """We may open as many files as the machine lets us; the soft limit is for old programs."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that never blocks; OSError says in a line what stands in the way."""
    try:
        return _listen(host, port)
    except OSError as fault:
        who = f"; `ss -ltnp sport = :{port}` shows by whom" if fault.errno == EADDRINUSE else ""
        reason = (fault.strerror or "unknown").lower()
        raise OSError(f"cannot listen on {host}:{port}: {reason}{who}") from fault


def _listen(host: str, port: int) -> socket.socket:
    family, kind, proto, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def address(sock: socket.socket) -> str:
    """Where it listens, as it stands in a URL."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
