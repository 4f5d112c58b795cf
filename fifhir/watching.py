"""Which files a configuration is made of, and whether one of them has changed.

Files are looked at, not waited for: that works on every file system, and for a ConfigMap too,
which Kubernetes changes by turning a symbolic link. A change counts once a second look finds the
same, so that a file is not read while it is written, and only if the bytes are others.
"""

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from fifhir import config, document

EVERY = 1.0  # seconds between two looks
FILES_LIMIT = 1000  # of a folder of profiles
BYTES_LIMIT = 64 << 20  # of a file, as far as it is compared
_REFERENCE = re.compile(r"\$\{file:([^}]+)\}")

Stat = tuple[int, ...]


def files(
    path: str | None, environ: Mapping[str, str], flags: Mapping[str, object]
) -> frozenset[str]:
    """Every file these settings are read from, and each that is named in those."""
    root, _ = config.overlaid(path, environ, flags)
    found = {path} if path else set[str]()
    found |= set(_referred(path)) | set(_named(root))
    if workflow := _text(root, "workflow", "config_path"):
        found |= {workflow, *_referred(workflow)}
        with_keys, _ = document.compose(_read(workflow), workflow)
        found |= set(_named(with_keys))
    if profiles := _text(root, "profiles", "path"):
        found |= set(_folder(Path(profiles)))
    return frozenset(found)


def _named(node: document.Node | None) -> Iterator[str]:
    """What every key ending in `_file` names."""
    match node:
        case document.Mapping():
            for key, entry in node.entries.items():
                inner = entry.node
                if isinstance(inner, document.Scalar):
                    if key.endswith(config.FILE) and inner.text:
                        yield inner.text
                else:
                    yield from _named(inner)
        case document.Sequence():
            for item in node.items:
                yield from _named(item)


def _text(root: document.Mapping, section: str, name: str) -> str:
    entry = root.entries.get(section)
    if entry is None or not isinstance(entry.node, document.Mapping):
        return ""
    inner = entry.node.entries.get(name)
    return inner.node.text if inner and isinstance(inner.node, document.Scalar) else ""


def _referred(path: str | None) -> Iterator[str]:
    """Every file that a YAML file takes a value from."""
    for match in _REFERENCE.finditer(_read(path) if path else ""):
        yield str(Path(path or "").parent / match[1])


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _folder(path: Path) -> Iterator[str]:
    """The files beside a profile, its tables among them, and the folder, which shows new ones."""
    folder = path if path.is_dir() else path.parent
    yield str(folder)
    try:
        inside = sorted(each for each in folder.iterdir() if not each.name.startswith("."))
    except OSError:
        return
    yield from (str(each) for each in inside[:FILES_LIMIT] if each.is_file())


class Watch:
    """Tells when one of the files has changed since they were last taken for read."""

    def __init__(
        self,
        files: Callable[[], Iterable[str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files = files
        self._clock = clock
        self._next = 0.0
        self._digests: dict[str, str] = {}
        self._stats: dict[str, Stat] = {}
        self._suspects: dict[str, Stat] = {}

    def reset(self) -> tuple[str, ...]:
        """All files count as read now; those that are others than the last time."""
        names = set(self._files())
        self._stats = {name: _stat(name) for name in names}
        digests = {name: _digest(name) for name in names}
        changed = {name for name in names if digests[name] != self._digests.get(name)}
        self._digests, self._suspects = digests, {}
        self._next = self._clock() + EVERY
        return tuple(sorted(changed))

    def changed(self) -> bool:
        """Whether a file is another one, and was the same one a look ago."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + EVERY
        stats = {name: _stat(name) for name in self._stats}
        if stats == self._stats:
            self._suspects = {}
            return False
        if stats != self._suspects:
            self._suspects = stats
            return False
        self._stats, self._suspects = stats, {}
        return any(_digest(name) != self._digests[name] for name in stats)


def _stat(name: str) -> Stat:
    """What changes with a file, or with what its name leads to; nothing if it is not there."""
    try:
        found = Path(name).stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _digest(name: str) -> str:
    """Of what is in a file, or of the names in a folder; empty if it cannot be read."""
    path = Path(name)
    try:
        if path.is_dir():
            content = "\n".join(sorted(each.name for each in path.iterdir())).encode()
        else:
            with path.open("rb") as opened:
                content = opened.read(BYTES_LIMIT)
    except OSError:
        return ""
    return hashlib.sha256(content).hexdigest()
