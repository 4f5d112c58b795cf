"""The `file` action: the event in a file, which is complete and on disk before it is confirmed."""

import asyncio
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from fifhir import template
from fifhir.errors import DeliveryError, TemplateFault
from fifhir.parcel import Parcel
from fifhir.resilience import Resilience
from fifhir.schema import Faults

THREADS = 4  # of one action in one worker; a file system that hangs holds up no other action
NAME_LIMIT = 200  # bytes of a name, so that the temporary one beside it fits as well

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class FileConfig(
    Resilience, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="file"
):
    """Write the event into a file below `base_dir`.

    `json` and `pretty` write a file for each event: under another name first, then renamed, so
    that nobody sees half of it. `ndjson` adds a line to the file. The disk has confirmed either.
    """

    path: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=1024,
            description="The file, below base_dir; may have templates. Each part of it is letters, "
            "digits, '_', '-' and '.', and begins with neither of the last two.",
            extra={"template": "none"},
        ),
    ]
    base_dir: Annotated[
        str,
        Meta(
            max_length=1024,
            description="The folder nothing is written outside of; it exists already. Without it "
            "path is absolute and has no template.",
        ),
    ] = ""
    format: Annotated[Literal["json", "pretty", "ndjson"], Meta(description="What is written.")] = (
        "json"
    )
    perm: Annotated[
        str, Meta(pattern=r"^0?[0-7]{3}$", description="Permissions of a new file, in octal.")
    ] = "0600"

    def faults(self) -> Faults:
        yield from super().faults()
        if self.base_dir:
            if not self.base_dir.startswith("/"):
                yield ("base_dir",), "must be absolute"
            if self.path.startswith("/"):
                yield ("path",), "must not be absolute beside base_dir"
        elif "{{" in self.path:
            yield ("path",), "a path with a template needs base_dir"
        elif not self.path.startswith("/"):
            yield ("path",), "must be absolute, or give base_dir"


class FileSink:
    """Carries out one `file` action of one route."""

    def __init__(self, config: FileConfig) -> None:
        path = PurePosixPath(config.path)
        self._base = config.base_dir or str(path.parent)
        self._path = template.compile(config.path if config.base_dir else path.name, "none")
        self._append = config.format == "ndjson"
        self._pretty = config.format == "pretty"
        self._mode = int(config.perm, 8)
        self._threads: ThreadPoolExecutor | None = None
        self.destination = f"file://{self._base}"
        self.idempotent = not self._append

    async def deliver(self, parcel: Parcel) -> None:
        """The file is on disk, whole."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="file")
        loop = asyncio.get_running_loop()
        try:
            parts = self._parts(parcel)
            await loop.run_in_executor(self._threads, self._write, parts, parcel)
        except TemplateFault as fault:
            raise DeliveryError("template", str(fault)) from fault
        except OSError as fault:
            reason = (fault.strerror or "not written").lower()
            raise DeliveryError("server_error", f"file: {reason}", retryable=True) from fault

    async def close(self) -> None:
        """No further file is begun; one that hangs is not waited for."""
        if self._threads:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _parts(self, parcel: Parcel) -> tuple[str, ...]:
        constant = self._path.is_constant
        path = self._path.render({} if constant else parcel.written.document)
        parts = tuple(path.split("/"))
        if not all(_NAME.fullmatch(part) and len(part) <= NAME_LIMIT for part in parts):
            raise DeliveryError("template", "file: the path has a part that is no plain name")
        return parts

    # In a thread.

    def _write(self, parts: tuple[str, ...], parcel: Parcel) -> None:
        text = parcel.written.json
        if self._pretty:
            text = msgspec.json.format(text, indent=2)
        *folders, name = parts
        with _folder(self._base, folders) as folder:
            if self._append:
                self._add(folder, name, text + b"\n")
            else:
                self._replace(folder, name, f".{name}.{parcel.key}", text + b"\n")

    def _replace(self, folder: int, name: str, temporary: str, text: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with open(os.open(temporary, flags, self._mode, dir_fd=folder), "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise
        os.fsync(folder)

    def _add(self, folder: int, name: str, line: bytes) -> None:
        """The line is at the end; one that could not be written whole leaves nothing behind."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, self._mode, dir_fd=folder), "ab", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise DeliveryError("client_error", "file: the path is no regular file")
            try:
                rest = memoryview(line)
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                os.ftruncate(file.fileno(), before.st_size)
                raise
        os.fsync(folder)


@contextmanager
def _folder(base: str, names: list[str]) -> Iterator[int]:
    """The folder, made where it is missing and reached without a symbolic link below `base`."""
    fd = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names:
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=fd)
                os.fsync(fd)
            outer, fd = fd, os.open(name, _DIRECTORY, dir_fd=fd)
            os.close(outer)
        yield fd
    finally:
        os.close(fd)
