"""Profiles from files: all of them read and checked before anything runs."""

from pathlib import Path

from fifhir import schema
from fifhir.errors import ConfigError, Finding
from fifhir.profile import Profile
from fifhir.profile.config import SourceProfile, read
from fifhir.profile.translating import read as read_tables

SUFFIXES = (".yaml", ".yml")
FILES_LIMIT = 1000


def load(path: str) -> Profile:
    """The profile in a file; ConfigError tells all that is wrong with it."""
    profile, findings = _load(Path(path))
    if profile is None or findings:
        raise ConfigError(schema.in_order(findings))
    return profile


def load_all(path: str) -> dict[str, Profile]:
    """The profiles in a file or a folder, by id; ConfigError tells all that is wrong with any."""
    found: dict[str, Profile] = {}
    wrong: list[Finding] = []
    files, unreadable = _files(Path(path))
    for file in files:
        profile, findings = _load(file)
        wrong += schema.in_order(findings)
        if profile is None:
            continue
        if profile.id in found:
            wrong.append(Finding(str(file), f"another file has the profile '{profile.id}' already"))
        found.setdefault(profile.id, profile)
    if wrong or unreadable:
        raise ConfigError((*unreadable, *wrong))
    return found


def _files(path: Path) -> tuple[list[Path], tuple[Finding, ...]]:
    if not path.is_dir():
        return [path], ()
    files = sorted(each for each in path.iterdir() if each.suffix in SUFFIXES)
    if len(files) > FILES_LIMIT:
        return [], (Finding(str(path), f"more than {FILES_LIMIT} profiles"),)
    return files, () if files else (Finding(str(path), "holds no profile (*.yaml)"),)


def _load(path: Path) -> tuple[Profile | None, list[Finding]]:
    """The profile in a file, its tables with it, and what is wrong with them."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as fault:
        return None, [Finding(str(path), (fault.strerror or "unreadable").lower())]
    except UnicodeDecodeError as fault:
        return None, [Finding(str(path), f"not UTF-8 at byte {fault.start}")]
    settings, findings = read(text, str(path))
    if settings is None or findings:
        return None, findings
    return _with_tables(settings, path.parent)


def _with_tables(settings: SourceProfile, folder: Path) -> tuple[Profile | None, list[Finding]]:
    tables, findings = read_tables(settings.terminology, folder)
    return (None if findings else Profile(settings, tables)), findings
