"""What a visit's event means at this site: `encounter.classified_event_type`."""

from typing import Any, NamedTuple

from msgspec import UNSET, structs

from fifhir.errors import CelFault
from fifhir.event import Warning
from fifhir.message import Message
from fifhir.profile.condition import Condition, read
from fifhir.profile.config import Classification, SourceProfile


class Rules(NamedTuple):
    """How one kind of message is classified: the first condition that holds, else the default."""

    conditions: tuple[tuple[Condition, str], ...]
    default: str


def compile(profile: SourceProfile) -> dict[str, Rules]:
    """The rules of each kind of message, `adt_a01`. Raises CelError."""
    return {kind: _compiled(told) for kind, told in profile.hl7v2.event_classification.items()}


def _compiled(told: Classification) -> Rules:
    conditions = tuple((read(rule.condition), rule.event) for rule in told.rules)
    return Rules(conditions, told.default)


def classified(event: Any, message: Message, kinds: dict[str, Rules]) -> tuple[Any, list[Warning]]:
    """The event with its visit classified, if its kind has rules, and what had no answer."""
    encounter = getattr(event, "encounter", UNSET)
    rules = kinds.get(f"{event.header.message_type}_{event.header.trigger_event}".lower())
    if rules is None or not encounter:
        return event, []
    name, warnings = _found(rules, message, event)
    encounter = structs.replace(encounter, classified_event_type=name)
    return structs.replace(event, encounter=encounter), warnings


def _found(rules: Rules, message: Message, event: Any) -> tuple[str, list[Warning]]:
    warnings: list[Warning] = []
    for number, (condition, name) in enumerate(rules.conditions, 1):
        try:
            if condition(message, event):
                return name, warnings
        except CelFault:
            text = f"condition {number} of its event_classification has no answer for this message"
            warnings.append(Warning("semantic", "CLASSIFICATION_FAULT", text, "PV1"))
    return rules.default, warnings
