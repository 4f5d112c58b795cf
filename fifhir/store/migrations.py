"""The numbered steps that a database's schema is made of: `schema/<database>/NNNN_what.sql`."""

from collections.abc import Iterable
from importlib import resources

from msgspec import Struct

from fifhir.errors import StoreError


class Step(Struct, frozen=True):
    """One step: statements that are run in one transaction, with the row that says so."""

    number: int
    name: str
    sql: str


def steps(database: str) -> tuple[Step, ...]:
    """All steps of this release for `database`, sqlite or postgres, in order."""
    folder = resources.files("fifhir.store") / "schema" / database
    return tuple(
        Step(int(number), what, (folder / name).read_text(encoding="utf-8"))
        for name in sorted(each.name for each in folder.iterdir() if each.name.endswith(".sql"))
        for number, _, what in [name.removesuffix(".sql").partition("_")]
    )


def missing(known: tuple[Step, ...], applied: Iterable[int]) -> tuple[Step, ...]:
    """The steps still to do. StoreError if the database is of a release newer than this one."""
    done = set(applied)
    newest = known[-1].number
    if done and max(done) > newest:
        raise StoreError(
            "schema",
            f"the database is of a newer release: its schema has version {max(done)} and this "
            f"release knows {newest}; run that release, or restore the backup made before it",
        )
    return tuple(step for step in known if step.number not in done)
