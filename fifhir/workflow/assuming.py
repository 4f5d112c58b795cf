"""Keys that the settings give to actions which do not say them themselves."""

from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Fields

from msgspec import Struct

from fifhir import flat
from fifhir.destinations import ALL, Assumed
from fifhir.document import Entry, Mapping, Node, Scalar, Sequence
from fifhir.schema import shape
from fifhir.sinks import CONFIGS


def lay_under(root: Node, assumed: Iterable[Assumed]) -> None:
    """Every action of the tree has the keys that are assumed of its type and that it lacks.

    Of two that assume the same key the first counts.
    """
    given = tuple(assumed)
    for action in _actions(root):
        kind = _text(action.entries.get("type"))
        config = CONFIGS.get(kind)
        if config is not None:
            _complete(action, config, [each for each in given if each.type in (kind, ALL)])


def _complete(action: Mapping, config: type[Struct], assumed: list[Assumed]) -> None:
    fields = {item.encode_name for item in shape(config).fields}
    said = flat.levelled(action, shape(config).fields)[0].entries.keys()
    for each in assumed:
        keys = {key: text for key, text in each.keys.items() if key in fields}
        if said.isdisjoint(each.unless):
            _add(action, {key: text for key, text in keys.items() if key not in said})


def _add(action: Mapping, keys: Fields[str, str]) -> None:
    for key, text in keys.items():
        place = f"{action.place} ({key}, from the settings)"
        action.entries.setdefault(key, Entry(place, Scalar(place, text, plain=False)))


def _actions(root: Node) -> Iterator[Mapping]:
    workflow = _under(root, "workflow") or root
    for route in _items(_under(workflow, "routes")):
        for action in _items(_under(route, "actions")):
            if isinstance(action, Mapping):
                yield action


def _under(node: Node, key: str) -> Node | None:
    entry = node.entries.get(key) if isinstance(node, Mapping) else None
    return entry.node if entry else None


def _items(node: Node | None) -> list[Node]:
    return node.items if isinstance(node, Sequence) else []


def _text(entry: Entry | None) -> str:
    return entry.node.text if entry and isinstance(entry.node, Scalar) else ""
