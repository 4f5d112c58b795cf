"""The queries of Loki that the runbook has, carried out on lines of a log.

Loki itself is no package here. These are LogQL's stages as its reference gives them: a stream
selector, `|= "text"` keeps lines that have the text, `| json` makes every key a label, and
`| label = "text"` or `| label > number` keeps lines whose label is so. Anything else is refused.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

_SELECTOR = re.compile(r'\{(\w+)="([^"]*)"\}')
_STAGE = re.compile(
    r'\s*(?:\|=\s*"(?P<has>[^"]*)"|\|\s*(?P<json>json)\b'
    r'|\|\s*(?P<label>\w+)\s*(?P<by>=|>)\s*(?:"(?P<text>[^"]*)"|(?P<number>[\d.]+)))'
)


def stream(query: str) -> tuple[str, str]:
    """The label that chooses the stream, and its value."""
    found = _SELECTOR.match(query)
    assert found, query
    return found[1], found[2]


def found(query: str, lines: Iterable[str]) -> list[dict[str, Any]]:
    """The lines that the query finds, as objects."""
    kept: list[tuple[str, dict[str, Any]]] = [(line, {}) for line in lines]
    at = _SELECTOR.match(query).end()  # type: ignore[union-attr]
    while at < len(query.rstrip()):
        stage = _STAGE.match(query, at)
        assert stage, f"not a stage of LogQL that the runbook has: {query[at:]}"
        kept = [(line, labels) for line, before in kept if (labels := _passed(stage, line, before))]
        at = stage.end()
    return [labels for _, labels in kept]


def _passed(stage: re.Match[str], line: str, labels: dict[str, Any]) -> dict[str, Any] | None:
    if stage["has"] is not None:
        return (labels or {"": ""}) if stage["has"] in line else None
    if stage["json"]:
        return dict(json.loads(line))
    value = labels.get(stage["label"])
    if stage["by"] == "=":
        return labels if str(value) == stage["text"] else None
    return labels if value is not None and float(value) > float(stage["number"]) else None
