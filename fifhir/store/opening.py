"""Which store the settings mean."""

from fifhir.store import Store
from fifhir.store.books import Books, Transactions
from fifhir.store.config import Database, StoreSettings
from fifhir.store.groups import UNSEEN, Signs


def store(
    database: Database,
    settings: StoreSettings,
    most_letters: int,
    processes: int = 1,
    signs: Signs = UNSEEN,
) -> Store:
    """The store of one of so many processes; nothing is opened yet.

    `most_letters` is how many dead letters there may be, 0 for none at all. `signs` are shown what
    it does.
    """
    return Books(_transactions(database, settings, processes), settings, most_letters, signs)


def _transactions(database: Database, settings: StoreSettings, processes: int) -> Transactions:
    if database.postgres:
        from fifhir.store.postgres.shared import Shared  # noqa: PLC0415 - only who uses it

        return Shared(database, max(2, database.max_open_conns // processes), settings.timeout)
    from fifhir.store.sqlite.embedded import Embedded  # noqa: PLC0415 - likewise

    return Embedded(settings.folder, settings.timeout)


def check(database: Database, settings: StoreSettings) -> None:
    """StoreError if the store is a file and it is damaged or cannot be used.

    Before the fork: nothing stays open.
    """
    if database.postgres:
        return
    from fifhir.store.sqlite.file import File  # noqa: PLC0415 - likewise

    file = File(settings.folder)
    try:
        file.check()
    finally:
        file.close()
