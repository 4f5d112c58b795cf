"""Other HL7 v2 parsers, each called as its own documentation calls it.

All are given the bytes a socket gives, so those that want text pay for decoding it. A peer that
is not installed is reported as not run, never left out in silence.
"""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.messages import Sample
from benchmarks.rounds import Contender, repeat

Work = Callable[[], object]
Read = Callable[[], list[str]]


class Peer(NamedTuple):
    """A package of the index, with the ways of using it that are measured."""

    package: str
    module: str
    whole: Callable[[Any, Sample], Work] | None  # everything the peer makes of a message
    fields: Callable[[Any, Sample], Read]  # opened, and eight values read
    makes: str


class Missing(NamedTuple):
    """A peer that could not be measured, and why."""

    package: str
    reason: str


def _hl7_tree(hl7: Any, sample: Sample) -> Work:
    return lambda: hl7.parse(sample.raw.decode())


def _hl7_fields(hl7: Any, sample: Sample) -> Read:
    places = []
    for where in sample.wanted:
        segment, _, rest = where.partition("-")
        number, _, component = rest.partition(".")
        places.append((segment, int(number), int(component or 1)))

    def work() -> list[str]:
        message = hl7.parse(sample.raw.decode())
        return [message.extract_field(name, 1, number, 1, part, 1) for name, number, part in places]

    return work


def _hl7apy_tree(parser: Any, sample: Sample) -> Work:
    return lambda: parser.parse_message(sample.raw.decode())


def _hl7apy_fields(parser: Any, sample: Sample) -> Read:
    names = [(where[:3], where.replace("-", "_").partition(".")) for where in sample.wanted]

    def work() -> list[str]:
        message = parser.parse_message(sample.raw.decode(), find_groups=False)
        values = []
        for segment, (place, _, component) in names:
            item = getattr(getattr(message, segment), place)[0]
            part = item.children[int(component) - 1] if component else item
            values.append(part.to_er7())
        return values

    return work


def _hl7lw_tree(hl7lw: Any, sample: Sample) -> Work:
    parser = hl7lw.Hl7Parser()
    return lambda: parser.parse_message(sample.raw.decode())


def _hl7lw_fields(hl7lw: Any, sample: Sample) -> Read:
    parser = hl7lw.Hl7Parser()
    wanted = tuple(sample.wanted)

    def work() -> list[str]:
        message = parser.parse_message(sample.raw.decode())
        return [message[where] for where in wanted]

    return work


def _hl7kit_fields(hl7kit: Any, sample: Sample) -> Read:
    wanted = tuple(sample.wanted)

    def work() -> list[str]:
        message = hl7kit.parse(sample.raw)
        return [message.get(where) for where in wanted]

    return work


def _medforge_json(medforge: Any, sample: Sample) -> Work:
    return lambda: medforge.parse(sample.raw.decode()).to_json()


def _medforge_fields(medforge: Any, sample: Sample) -> Read:
    wanted = tuple(where.replace(".", "-") for where in sample.wanted)

    def work() -> list[str]:
        message = medforge.parse(sample.raw.decode())
        return [message.get(where) for where in wanted]

    return work


PEERS = (
    Peer("hl7", "hl7", _hl7_tree, _hl7_fields, "tree of lists"),
    Peer("hl7apy", "hl7apy.parser", _hl7apy_tree, _hl7apy_fields, "tree with groups"),
    Peer("hl7lw", "hl7lw", _hl7lw_tree, _hl7lw_fields, "fields, not cut further"),
    Peer("hl7kit", "hl7kit", None, _hl7kit_fields, "spans"),
    Peer("medforge", "medforge", _medforge_json, _medforge_fields, "JSON"),
)


def contenders(sample: Sample) -> tuple[list[Contender], list[Contender], list[Missing]]:
    """Those that make something of a whole message, those that read eight values, the missing.

    RuntimeError if one reads something else than was sent.
    """
    whole: list[Contender] = []
    fields: list[Contender] = []
    missing: list[Missing] = []
    for peer in PEERS:
        try:
            module = importlib.import_module(peer.module)
        except ImportError as fault:
            missing.append(Missing(peer.package, str(fault)))
            continue
        if peer.whole:
            work = peer.whole(module, sample)
            whole.append(Contender(peer.package, peer.makes, repeat(work)))
        read = peer.fields(module, sample)
        if read() != list(sample.wanted.values()):
            raise RuntimeError(f"{peer.package} does not read the {sample.name} as it was sent")
        fields.append(Contender(peer.package, "open + 8 fields", repeat(read)))
    return whole, fields, missing
