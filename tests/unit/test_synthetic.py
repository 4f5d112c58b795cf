"""The demo's messages are of the kinds it promises, and of nobody."""

import re

from fifhir.cli.synthetic import BROKEN, MIX, messages
from fifhir.intake import Feed, read


def test_the_same_seed_gives_the_same_messages() -> None:
    assert list(messages(60)) == list(messages(60))
    assert list(messages(60)) != list(messages(60, seed=8))


def test_every_kind_is_there_and_two_are_broken() -> None:
    made = list(messages(400))
    assert len(made) == 400
    assert [raw for raw in made if raw in BROKEN] == list(BROKEN)
    kinds = {raw.split(b"|")[8].decode() for raw in made if raw not in BROKEN}
    assert kinds == {kind for kind, _ in MIX}


def test_they_are_read_as_what_they_say() -> None:
    for raw in messages(400):
        if raw in BROKEN:
            continue
        event = read(raw, Feed(source="demo"))
        assert event.parse_warnings == (), raw
        assert re.fullmatch(r"DEMO\d{6}", str(event.source_message_id))
