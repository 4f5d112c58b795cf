"""`fi-fhir trace`: one message as a tree, what became of each field, and which routes take it."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from fifhir.cli.samples import Sample
    from fifhir.event import Event, Warning
    from fifhir.intake import Feed
    from fifhir.message import Message
    from fifhir.workflow.config import RouteConfig, WorkflowConfig

UNWRAPPED = 10_000  # columns; a line for another program is never broken
SHOWN = 300  # characters of a value; a whole document is not looked at in a tree


def trace(  # noqa: PLR0913, PLR0917 - each is an option of the command
    files: Annotated[
        list[str] | None, typer.Argument(help="Files to read; - or none reads stdin.")
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option("--profile", "-p", metavar="FILE", help="The source profile (YAML)."),
    ] = None,
    source: Annotated[
        str, typer.Option("--source", "-s", help="Name of the sender, as routes know it.")
    ] = "unknown",
    workflow: Annotated[
        str | None, typer.Option("--workflow", "-w", help="The workflow whose routes are tried.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a message.")] = False,
    unread: Annotated[
        bool, typer.Option("--unread", help="Only fields with a value that no rule reads.")
    ] = False,
) -> None:
    """Show each message as a tree: its fields by name, warnings at their place, what was not read.

    Below it are the event and, with --workflow, the routes that take it, and why the others do
    not. Messages are patients' data: this command shows them because it is asked to. Status 1 if
    a message could not be read.
    """
    from fifhir.cli import workflow_file as workflows
    from fifhir.cli.parse import read_profile
    from fifhir.cli.samples import end_quietly, unreadable, walk
    from fifhir.intake import Feed

    end_quietly()
    feed = Feed(source=source, profile=read_profile(profile))
    routes = workflows.read(workflow) if workflow else None
    seen, failed = 0, False
    for name in files or ["-"]:
        try:
            for sample in walk(name):
                seen += 1
                told = traced(sample, feed, routes)
                failed = failed or "error" in told
                _print(told, json=json, only_unread=unread)
        except OSError as fault:
            print(unreadable(name, fault), file=sys.stderr)
            failed = True
    if not seen:
        print("no message in it", file=sys.stderr)
    if failed or not seen:
        raise typer.Exit(1)


def traced(sample: "Sample", feed: "Feed", workflow: "WorkflowConfig | None") -> dict[str, Any]:
    """All that can be told of a message: its fields, its warnings, its event, its routes."""
    from fifhir.errors import MessageError
    from fifhir.event import event_type
    from fifhir.intake import read
    from fifhir.message import open_message
    from fifhir.unread import unread

    told: dict[str, Any] = {"file": sample.title, "message": sample.number, "at": sample.at}
    profile, event = feed.profile, None
    try:
        event = read(sample.raw, feed)
    except MessageError as fault:
        told["error"] = {"code": fault.reason, "text": str(fault), "path": fault.location}
    try:
        message = open_message(sample.raw, profile.charset, guess=True, mend=True)
    except MessageError:
        return told
    found = set(unread(message, event_type(event), profile)) if event else set()
    told["segments"] = _segments(message, found)
    if event is not None:
        _place(event.parse_warnings, told)
        told["event"] = event
        if workflow:
            told["routes"] = [_route(route, event) for route in workflow.routes]
    return told


def _segments(message: "Message", unread: set[tuple[int, int]]) -> list[dict[str, Any]]:
    """Every segment with its fields that have a value."""
    from fifhir import tables

    found, seen = [], dict[bytes, int]()
    for at in range(len(message)):
        name = message.name(at)
        seen[name] = seen.get(name, 0) + 1
        nth = f"({seen[name]})" if seen[name] > 1 else ""
        path = name.decode("utf-8", "replace") + nth
        fields = []
        for n in range(1, message.fields(at) + 1):
            if value := message.cut(at, n, 0):
                element = tables.ELEMENTS.get((name, n))
                title = element.name if element else ""
                field = {"path": f"{path}-{n}", "name": title, "value": value.decode()}
                fields.append({**field, "read": (at, n) not in unread})
        found.append({"path": path, "name": tables.SEGMENTS.get(name, ""), "fields": fields})
    return found


def _place(warnings: "tuple[Warning, ...]", told: dict[str, Any]) -> None:
    """Each warning is at the field or the segment it is about, else at the message."""
    places = {}
    for number, segment in enumerate(told["segments"], 1):
        places[segment["path"]] = places[f"segment {number}"] = segment
        places |= {field["path"]: field for field in segment["fields"]}
    for warning in warnings:
        segment, _, field = warning.path.partition("-")
        path = f"{segment}-{field.partition('(')[0].partition('.')[0]}" if field else warning.path
        place = places.get(path, places.get(segment, told))
        place.setdefault("warnings", []).append(warning)


def _route(route: "RouteConfig", event: "Event") -> dict[str, Any]:
    """Whether a route takes the event, and if not, why."""
    from fifhir.event import event_type

    reasons = []
    for key, wanted, found in (
        ("event_type", route.filter.event_types, event_type(event)),
        ("source", route.filter.sources, event.source),
    ):
        if wanted and found not in wanted:
            reasons.append(f"{key} is {found}, not {' or '.join(wanted)}")
    if route.filter.condition.strip() and (reason := _condition(route.filter.condition, event)):
        reasons.append(reason)
    actions = [str(action.__struct_config__.tag) for action in route.actions]
    return {"route": route.name, "matches": not reasons, "reasons": reasons, "actions": actions}


def _condition(text: str, event: "Event") -> str:
    """Why a condition does not hold; "" if it does."""
    import msgspec

    from fifhir import cel
    from fifhir.errors import CelFault
    from fifhir.event import encode

    try:
        holds = cel.compile(text)(msgspec.json.decode(encode(event)))
    except CelFault as fault:
        return f"its condition has no answer for this event: {fault}"
    return "" if holds else "its condition does not hold"


def _print(told: dict[str, Any], *, json: bool, only_unread: bool) -> None:
    if json:
        import msgspec

        typer.echo(msgspec.json.encode(told))
        return
    from rich.console import Console

    width = None if sys.stdout.isatty() else UNWRAPPED
    console = Console(highlight=False, width=width)
    console.print(_tree(told, only_unread=only_unread))
    if "event" in told and not only_unread:
        _print_event(console, told["event"])
    for route in told.get("routes", ()):
        mark, colour = ("takes it", "green") if route["matches"] else ("does not", "yellow")
        why = "; ".join(route["reasons"]) or ", ".join(route["actions"])
        line = _text(f"route {route['route']} {mark}: ", colour) + _text(why)
        console.print(line)
    console.print()


def _print_event(console: Any, event: "Event") -> None:
    import msgspec
    from rich.syntax import Syntax

    text = msgspec.json.format(msgspec.json.encode(event), indent=2).decode()
    if console.is_terminal:
        console.print(Syntax(text, "json", background_color="default", word_wrap=True))
    else:
        typer.echo(text)


def _tree(told: dict[str, Any], *, only_unread: bool) -> "Tree":
    from rich.tree import Tree

    tree = Tree(_text(f"{told['file']}: message {told['message']} (byte {told['at']})", "bold"))
    if error := told.get("error"):
        tree.add(_text(f"{error['path']}: {error['code']}: {error['text']}", "bold red"))
    _warn(tree, told)
    for segment in told.get("segments", ()):
        fields = [field for field in segment["fields"] if not (only_unread and field["read"])]
        if only_unread and not fields:
            continue
        branch = tree.add(_text(segment["path"], "bold cyan") + _text(f"  {segment['name']}"))
        _warn(branch, segment)
        for field in fields:
            _warn(branch.add(_line(field)), field)
    return tree


def _line(field: dict[str, Any]) -> "Text":
    value, name = field["value"], f"  {field['name']}" if field["name"] else ""
    line = _text(field["path"], "cyan") + _text(name, "dim") + _text(f"  {value[:SHOWN]}")
    if len(value) > SHOWN:
        line += _text(f"... {len(value)} characters", "dim")
    return line if field["read"] else line + _text("  not read", "magenta")


def _warn(branch: "Tree", place: dict[str, Any]) -> None:
    for warning in place.get("warnings", ()):
        branch.add(_text(f"{warning.code}: {warning.message}", "yellow"))


def _text(text: str, style: str = "") -> "Text":
    """Text for a terminal, which nothing in it can steer."""
    from rich.text import Text

    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return Text(shown, style)
