"""The C floor, built on the spot and called with its loop inside C."""

import ctypes
import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

SOURCE = Path(__file__).with_name("floor.c")


class Floor:
    """The compiled yardstick for one message; `json()` shows what it writes."""

    def __init__(self, library: ctypes.CDLL, raw: bytes) -> None:
        self._run = library.floor_run
        self._raw = raw + bytes(16)  # the scan reads in steps of 16
        self._size = len(raw)
        self._marks = (ctypes.c_uint32 * (len(raw) + 16))()
        self._out = (ctypes.c_uint8 * (24 * len(raw) + 64))()

    def run(self, times: int) -> int:
        """Convert the message `times` times; the JSON's size."""
        size = self._run(self._raw, self._size, self._marks, self._out, ctypes.c_size_t(times))
        return int(size)

    def json(self) -> bytes:
        """The JSON, written once more."""
        return bytes(self._out[: self.run(1)])


def build() -> ctypes.CDLL:
    """The floor compiled with `cc -O3`; CalledProcessError or OSError if there is no compiler."""
    compiler = os.environ.get("CC", "cc")
    with TemporaryDirectory() as folder:
        target = Path(folder, "floor.so")
        command = [compiler, "-O3", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", str(target)]
        subprocess.run([*command, str(SOURCE)], check=True)
        library = ctypes.CDLL(str(target))  # stays mapped after its file is gone
    library.floor_run.restype = ctypes.c_size_t
    library.floor_run.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_size_t,
    ]
    return library
