"""Every kind of mistake in a workflow file: its code, its name for tools, its meaning."""

from typing import NamedTuple


class Code(NamedTuple):
    """One kind of mistake."""

    code: str
    name: str
    meaning: str


CODES = (
    Code("FF100", "UNREADABLE", "The file is not YAML, too large, nested too deeply, or empty."),
    Code("FF101", "DUPLICATE_KEY", "A key is given twice, or once flat and once in a block."),
    Code("FF102", "INVALID_VARIABLE", "A `${...}` names a variable or file that is not there."),
    Code("FF103", "UNKNOWN_FIELD", "No such key, or no such field in any event the route takes."),
    Code("FF104", "MISSING_FIELD", "A key that is needed is not given."),
    Code("FF105", "INVALID_VALUE", "A value of another type, or outside its bounds."),
    Code("FF106", "DUPLICATE_ROUTE_NAME", "Two routes have the same name."),
    Code("FF107", "UNKNOWN_ACTION_TYPE", "No action has this name."),
    Code("FF108", "NOT_AVAILABLE", "The format has it, this release does not."),
    Code("FF109", "UNKNOWN_EVENT_TYPE", "No event has this type, so the route would never run."),
    Code("FF201", "INVALID_CEL", "The condition is not CEL, or cannot be true or false."),
    Code("FF202", "INVALID_TEMPLATE", "The template is not one."),
    Code("FF203", "INVALID_PATH", "Not a path into an event, or set_field without a value."),
    Code("FF204", "INVALID_TRANSFORM", "A transform has none of the five keys, or several."),
    Code("FF205", "INVALID_MAPPING", "A mapping is not there, or its file cannot be read."),
    Code("FF301", "NO_FILTER", "Warning: the route takes every event."),
    Code("FF302", "MISSING_VERSION", "Warning: the file does not say which version it is."),
    Code("FF303", "NO_WEBHOOK_AUTH", "Warning: the destination cannot know who sends."),
    Code("FF304", "NO_FHIR_AUTH", "Warning: the FHIR server cannot know who sends."),
    Code("FF305", "PLAIN_TEXT", "Warning: it goes to another machine without TLS."),
    Code("FF306", "UNVERIFIED_TLS", "Warning: any certificate will do."),
    Code("FF307", "PHI_IN_SUBJECT", "Warning: the subject of a mail has fields of the event."),
    Code(
        "FF308",
        "NOT_REPEATABLE",
        "Warning: a lost answer makes it a dead letter, for a repeat might be there twice.",
    ),
)

NAMES = {each.code: each.name for each in CODES}
