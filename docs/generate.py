"""Write the parts of the pages that the code knows better: `make docs`; `--check` only looks.

A part stands between `<!-- made: name -->` and `<!-- end -->`; `PARTS` says what makes it.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator
from inspect import getdoc
from pathlib import Path
from typing import Any, get_args

from msgspec import NODEFAULT, Struct, inspect

from fifhir import config, effective, event, event_schema, schema, tables
from fifhir.cel.functions import GLOBALS, MEMBERS
from fifhir.cel.values import TYPES
from fifhir.cli import app
from fifhir.families import (
    ASKED,
    BREAKER_STATES,
    CAUSES,
    COMMITS,
    ERROR_TYPES,
    FAMILIES,
    MLLP_OUTCOMES,
    MLLP_REFUSALS,
    OUTCOMES,
    PATHS,
    STAGES,
    STORE_ERRORS,
    TIMED,
    TLS_REASONS,
)
from fifhir.profile.config import Check, CodeMapping, SourceProfile
from fifhir.secret import Secret
from fifhir.sinks import ActionConfig
from fifhir.workflow import codes, jsonschema, transform
from fifhir.workflow.config import RouteConfig, WorkflowConfig
from fifhir.workflow.filter import Filter

PAGES = Path(__file__).resolve().parent
PART = re.compile(r"(<!-- made: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    """All pages are up to date; with --check, 1 if one was not and nothing is written."""
    stale = []
    for page in sorted(PAGES.glob("*.md")):
        before = page.read_text(encoding="utf-8")
        after = PART.sub(made, before)
        if after != before:
            stale.append(page.name)
            if "--check" not in sys.argv:
                page.write_text(after, encoding="utf-8")
    for name, text in whole_files():
        if not (PAGES / name).exists() or (PAGES / name).read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                (PAGES / name).parent.mkdir(exist_ok=True)
                (PAGES / name).write_text(text, encoding="utf-8")
    if stale and "--check" in sys.argv:
        print(f"out of date: {', '.join(stale)}; run make docs", file=sys.stderr)
        return 1
    return 0


def whole_files() -> Iterator[tuple[str, str]]:
    """Yield the files that are made as a whole."""
    schema_text = json.dumps(jsonschema.document(WorkflowConfig), indent=2, ensure_ascii=False)
    yield "schemas/workflow.schema.json", schema_text + "\n"
    events_text = json.dumps(event_schema.document(), indent=1, ensure_ascii=False)
    yield "schemas/events.schema.json", events_text + "\n"
    settings_text = json.dumps(jsonschema.settings(config.Settings), indent=2, ensure_ascii=False)
    yield "schemas/settings.schema.json", settings_text + "\n"


def made(part: re.Match[str]) -> str:
    """Return the part as it has to be."""
    return "\n".join([part[1].rstrip(), *PARTS[part[2]](), part[3]])


def settings() -> Iterator[str]:
    """Yield a table for each section of the settings."""
    variables = {(section, name): variable for variable, section, name in config.variables()}
    for section in schema.shape(config.Settings).fields:
        struct = section.type
        assert isinstance(struct, inspect.StructType)
        yield f"\n### {section.name}\n\n{getdoc(struct.cls)}\n"
        yield from header("setting", "variable", "default", "meaning")
        for item in struct.fields:
            variable = f"`{variables[section.name, item.name]}`"
            yield row(f"`{section.name}.{item.name}`", variable, default(item), meaning(item))


def workflows() -> Iterator[str]:
    """Yield a table for each struct of a workflow file."""
    parts: tuple[tuple[str, type[Struct]], ...] = (
        ("Workflow", WorkflowConfig),
        ("Route", RouteConfig),
        ("Filter", Filter),
        ("Transform", transform.TransformConfig),
        ("`map_terminology`", transform.MapTerminology),
        ("`redact`", transform.Redact),
        ("`rename` and `copy`", transform.Move),
        ("Mapping", CodeMapping),
    )
    actions = {str(each.__struct_config__.tag): each for each in get_args(ActionConfig)}
    parts += tuple((f"Action `{name}`", cls) for name, cls in actions.items())
    for title, cls in parts:
        yield f"\n### {title}\n\n{getdoc(cls)}\n"
        yield from header("key", "default", "meaning")
        for item in schema.shape(cls).fields:
            needed = "required" if item.required else default(item)
            yield row(f"`{item.encode_name}`", needed, effective.described(item))


def profiles() -> Iterator[str]:
    """Yield a table of every key of a source profile."""
    yield from header("key", "default", "meaning")
    yield from knobs(schema.shape(SourceProfile), "")


def knobs(kind: inspect.StructType, path: str) -> Iterator[str]:
    """Yield a row for each key under a path, and for those under it."""
    for item in kind.fields:
        at = f"{path}{item.encode_name}"
        inner, _ = schema.unwrap(item.type)
        needed = "required" if item.required else default(item)
        if isinstance(inner, inspect.DictType):
            at, inner = f"{at}.*", schema.unwrap(inner.value_type)[0]
        if isinstance(inner, inspect.VarTupleType):
            at, inner = f"{at}[]", schema.unwrap(inner.item_type)[0]
        if not isinstance(inner, inspect.StructType):
            yield row(f"`{at}`", needed, meaning(item))
            continue
        if "description" in (getattr(item.type, "extra_json_schema", None) or {}):
            yield row(f"`{at}`", "off" if inner.cls is Check else "", meaning(item))
        yield from knobs(inner, f"{at}.")


def triggers() -> Iterator[str]:
    """Yield a row for each event: the messages it is made of."""
    sent: dict[str, list[str]] = {name: [] for name in event.EVENTS}
    for (kind, trigger), found in tables.TRIGGERS.items():
        for each in found:
            sent[each.event].append(f"{kind.decode()}^{trigger.decode()}")
    conditions = {each.event: each.when for found in tables.TRIGGERS.values() for each in found}
    yield from header("`type`", "what happened", "messages")
    for name, cls in event.EVENTS.items():
        meaning = (getdoc(cls) or "").split(": ", 1)[-1].split(":")[0].rstrip(".")
        messages = (", ".join(sent[name]) or "any other").replace("^*", "")
        yield row(f"`{name}`", meaning, messages + condition(conditions.get(name, "")))


def condition(name: str) -> str:
    """Return what a message has to say beside its type, for its event to be this one."""
    if not name:
        return ""
    path, values = tables.PREDICATES[name]
    return f", if {path} is {' '.join(map(bytes.decode, values))}"


def events() -> Iterator[str]:
    """Yield a table for each body an event may have, then one for each struct they are made of."""
    seen: dict[type[Struct], None] = dict.fromkeys(event.EVENTS.values())
    common = frozenset(item.encode_name for item in schema.shape(event.Meta).fields)
    shown: list[tuple[str, type[Struct], frozenset[str]]]
    shown = [("Every event", event.Meta, frozenset())]
    shown.append(("Every event of a visit or a person", event.Visit, common))
    shown += [(title, cls, common) for title, cls in bodies()]
    for title, cls, left_out in shown:
        yield from struct_table(title, cls, left_out, seen)
    done: set[type[Struct]] = set(event.EVENTS.values())
    while waiting := [cls for cls in seen if cls not in done]:
        done.add(waiting[0])
        yield from struct_table(waiting[0].__name__, waiting[0], frozenset(), seen)


def bodies() -> Iterator[tuple[str, type[Struct]]]:
    """Yield each body that is not only a visit: the events that have it, and one of them."""
    shared: dict[type[Struct], list[str]] = {}
    events: dict[str, type[Struct]] = {**event.EVENTS}
    for name, cls in events.items():
        if own_keys(cls):
            base = cls.__mro__[1]
            has_own = base in (event.Meta, event.Visit) or own_keys(cls) != own_keys(base)
            shared.setdefault(cls if has_own else base, []).append(f"`{name}`")
    for cls, names in shared.items():
        yield ", ".join(names), cls


def own_keys(cls: type[Struct]) -> set[str]:
    """Return the keys an event has beside those of all visits."""
    fields = {item.encode_name for item in schema.shape(cls).fields}
    return fields - {item.encode_name for item in schema.shape(event.Visit).fields}


def struct_table(
    title: str, cls: type[Struct], left_out: frozenset[str], seen: dict[type[Struct], None]
) -> Iterator[str]:
    """Yield one struct's table; structs it is made of are added to `seen`."""
    yield f"\n### {title}\n\n{getdoc(cls)}\n"
    yield from header("key", "value")
    for item in schema.shape(cls).fields:
        if item.encode_name not in left_out:
            words = dict.fromkeys(kinds(item.type, seen))
            yield row(f"`{item.encode_name}`", " or ".join(words))


def kinds(kind: inspect.Type, seen: dict[type[Struct], None]) -> Iterator[str]:
    """Yield what a key may hold, in words."""
    match kind:
        case inspect.StructType():
            seen.setdefault(kind.cls)
            yield f"[{kind.cls.__name__}](#{kind.cls.__name__.lower()})"
        case inspect.VarTupleType():
            yield "list of " + " or ".join(kinds(kind.item_type, seen))
        case inspect.UnionType():
            for each in kind.types:
                yield from kinds(each, seen)
        case inspect.DictType():
            yield "mapping"
        case inspect.NoneType():
            yield "null"
        case inspect.AnyType():
            yield "anything"
        case inspect.StrType():
            yield "text"
        case inspect.BoolType():
            yield "true or false"
        case inspect.IntType():
            yield "number"
        case inspect.FloatType():
            yield "number"


def metrics() -> Iterator[str]:
    """Yield a row for every metric: what it is, what it tells, and what to do about it."""
    yield from header("metric", "type", "labels", "meaning", "what to do")
    for each in FAMILIES:
        kind = "gauge" if each.kind in {"sum", "max"} else each.kind
        labels = ", ".join(f"`{label}`" for label in each.labels)
        yield row(f"`{each.name}`", kind, labels, each.help, each.todo)
    for name, told, todo in ASKED:
        yield row(f"`{name}`", "gauge", "", told, todo)


def metric_labels() -> Iterator[str]:
    """Yield a row for each label that has the same values everywhere."""
    yield from header("label", "values")
    values: dict[str, tuple[object, ...]] = {
        "error_type": ERROR_TYPES,
        "stage (errors)": STAGES,
        "stage (durations)": TIMED,
        "outcome (routes)": OUTCOMES,
        "outcome (MLLP)": MLLP_OUTCOMES,
        "reason (frames)": MLLP_REFUSALS,
        "reason (TLS)": TLS_REASONS,
        "state (breakers)": BREAKER_STATES,
        "what (commits)": COMMITS,
        "kind (store)": STORE_ERRORS,
        "cause": CAUSES,
        "path": PATHS,
    }
    for name, known in values.items():
        yield row(name, " ".join(f"`{each}`" for each in known))


def commands() -> Iterator[str]:
    """Yield every command with its arguments and options, as `--help` has them."""
    from typer.main import get_command  # noqa: PLC0415 - only this page needs it

    yield from command(get_command(app), ("fi-fhir",))


def command(found: Any, words: tuple[str, ...]) -> Iterator[str]:
    """Yield one command, then those within it."""
    inner = getattr(found, "commands", {})
    yield f"\n{'#' * min(len(words) + 1, 4)} {' '.join(words)}\n"
    yield paragraphs(found.help or found.short_help or "")
    shown = [each for each in found.params if each.name != "help" and not each.hidden]
    if inner:
        yield "\n" + "  ".join(f"[`{name}`](#{anchor((*words, name))})" for name in inner)
    elif shown:
        yield ""
        yield from header("argument or option", "default", "meaning")
        for each in shown:
            yield row(f"`{spelled(each)}`", preset(each), getattr(each, "help", None) or "")
    for name, each in inner.items():
        yield from command(each, (*words, name))


def paragraphs(text: str) -> str:
    """Return a help text as Markdown."""
    return "\n\n".join(" ".join(part.split()) for part in text.replace("\b", "").split("\n\n"))


def spelled(found: Any) -> str:
    """Return how an argument or an option is written."""
    if found.param_type_name == "argument":
        name = (found.metavar or found.name or "").upper()
        return name if found.required else f"[{name}]"
    names = ", ".join((*found.opts, *found.secondary_opts))
    return names if found.is_flag else f"{names} {found.name.strip('_').replace('_', '-').upper()}"


def preset(found: Any) -> str:
    """Return the value that counts if none is given."""
    if found.required:
        return "required"
    value = found.default
    if callable(value) or value in (None, "", (), [], False):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def anchor(words: tuple[str, ...]) -> str:
    """Return the name that a heading of these words has in its page."""
    return "-".join(words).replace(" ", "-").lower()


def header(*titles: str) -> Iterator[str]:
    """Yield the head of a table."""
    yield row(*titles)
    yield "|---" * len(titles) + "|"


def row(*cells: str) -> str:
    """Return a line of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def default(item: inspect.Field) -> str:
    """Return a field's default as an operator would write it."""
    shown = effective.default(item)
    if shown or item.default is NODEFAULT:
        return shown and f"`{shown}`"
    return "empty" if isinstance(item.default, str | Secret) else ""


def meaning(item: inspect.Field) -> str:
    """Return a field's description with the values it may have."""
    return effective.meaning(item)


def findings() -> Iterator[str]:
    """Yield a row for each kind of mistake."""
    yield from header("code", "name", "meaning")
    for each in codes.CODES:
        yield row(f"`{each.code}`", f"`{each.name}`", each.meaning)


def cel_functions() -> Iterator[str]:
    """Yield a row for each function of conditions."""
    yield from header("written as", "takes", "gives")
    for table, form in ((GLOBALS, "{}(x)"), (MEMBERS, "x.{}()")):
        for name, rows in table.items():
            for each in rows:
                takes = ", ".join(kinds_of(kinds) for kinds in each.takes)
                gives = kinds_of(frozenset((each.gives,))) if each.gives else "what it takes"
                yield row(f"`{form.format(name)}`", takes, gives)


def kinds_of(kinds: frozenset[type]) -> str:
    """Return the CEL types of a function's argument."""
    if kinds == frozenset(TYPES):
        return "anything"
    names = sorted(TYPES[kind].removeprefix("google.protobuf.").lower() for kind in kinds)
    return " or ".join(names)


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "settings": settings,
    "workflows": workflows,
    "events": events,
    "profiles": profiles,
    "triggers": triggers,
    "commands": commands,
    "metrics": metrics,
    "metric_labels": metric_labels,
    "findings": findings,
    "cel_functions": cel_functions,
}


if __name__ == "__main__":
    sys.exit(main())
