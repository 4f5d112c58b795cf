"""What actions would do, written down instead of done: for simulations, recordings and tests."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from fifhir import template
from fifhir.errors import DeliveryError, TemplateFault
from fifhir.parcel import Parcel
from fifhir.schema import marked, shape
from fifhir.secret import Secret
from fifhir.template import Template


class Invocation(Struct, frozen=True):
    """One action that would have been carried out: its keys as they were rendered, and the event.

    Keys that were left at their defaults are not among them, and secrets show as ***.
    """

    route_name: str
    action_type: str
    index: int
    config: dict[str, Any]
    event: dict[str, Any]


class Rehearsed:
    """Takes the place of an action's sink: renders its templates and tells what it would do."""

    destination = ""
    idempotent = True

    def __init__(self, config: Struct, take: Callable[[Invocation], None]) -> None:
        self._fixed = {
            item.encode_name: msgspec.to_builtins(value, enc_hook=repr)
            for item in shape(type(config)).fields
            if (value := getattr(config, item.name)) != item.default
            and not (isinstance(value, Secret) and not value)
        }
        self._templates = [
            (path, template.compile(text, escape))
            for path, text, escape in marked(config, "template")
        ]
        self._take = take

    async def deliver(self, parcel: Parcel) -> None:
        """The action is told as it would have been carried out. DeliveryError if it cannot be."""
        document = parcel.written.document
        try:
            config = _rendered(self._fixed, self._templates, document)
        except TemplateFault as fault:
            raise DeliveryError("template", str(fault)) from None
        self._take(Invocation(parcel.route, parcel.action, parcel.index, config, document))

    async def close(self) -> None:
        """There is nothing to close."""


def _rendered(
    fixed: dict[str, Any],
    compiled: list[tuple[tuple[str | int, ...], Template]],
    document: dict[str, Any],
) -> dict[str, Any]:
    config: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(fixed))
    for path, made in compiled:
        owner: Any = config
        for step in path[:-1]:
            owner = owner.setdefault(step, {}) if isinstance(owner, dict) else owner[step]
        owner[path[-1]] = made.render(document)
    return config
