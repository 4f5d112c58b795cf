"""Results as tables for people, the targets among them, into the marked part of a page."""

from typing import Any, NamedTuple

from benchmarks.chart import TIMES, times

BEGIN = "<!-- results: written by `make bench`; do not edit -->"
END = "<!-- end of results -->"
MEGABYTE = 1e6


class Target(NamedTuple):
    """What had to be reached, what was, and whether that is enough."""

    what: str
    wanted: str
    reached: str
    met: bool


def page(results: dict[str, Any]) -> str:
    """All the tables of all the sections there are."""
    writers = {
        **{"parse": _parse, "fhir": _fhir, "routing": _routing, "http": _http},
        **{"mllp": _mllp, "durable": _durable, "accept": _accept, "memory": _memory},
    }
    parts = [_targets(results)]
    parts += [write(results[name]) for name, write in writers.items() if name in results]
    return "\n\n".join(parts)


def insert(text: str, tables: str) -> str:
    """The page with what stands between its marks replaced; ValueError if it has no marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no part between {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"


def targets(results: dict[str, Any]) -> list[Target]:
    """Every target that these results can be held to."""
    found: list[Target] = []
    if parse := results.get("parse"):
        found += _parse_targets(parse["messages"][0])
    if fhir := results.get("fhir"):
        found += _fhir_targets(fhir)
    if routing := results.get("routing"):
        found += _routing_targets(routing)
    if http := results.get("http"):
        found += _http_targets(http)
    if mllp := results.get("mllp"):
        found += _mllp_targets(mllp)
    if durable := results.get("durable"):
        found += _durable_targets(durable)
    if accept := results.get("accept"):
        worst = max(row["worst_max_over_mean"] for row in accept["rows"])
        found.append(
            Target(
                "connections of the busiest worker over the mean",
                "≤ 1.10",
                f"{worst:.2f}",
                worst <= 1.10,
            )
        )
    if memory := results.get("memory"):
        found += _memory_targets(memory)
    return found


def _parse_targets(adt: dict[str, Any]) -> list[Target]:
    ours, floor = (_named(adt["whole"], name) for name in ("fi-fhir", "C floor"))
    best = ours["best_messages_per_second"]
    over = 1 / floor["times_ours"]
    found = [
        Target("ADT to event to JSON, best round", "≥ 120,000/s", f"{best:,}/s", best >= 120_000),
        Target("the same over the C floor", f"≤ 3{TIMES}", times(over), over <= 3),
    ]
    if kit := _named(adt["fields"], "hl7kit"):
        ratio = kit["times_ours"]
        found.append(
            Target(
                "open + 8 fields, hl7kit's cost over ours",
                f"≥ 25{TIMES}",
                times(ratio),
                ratio >= 25,
            )
        )
    return found


def _fhir_targets(fhir: dict[str, Any]) -> list[Target]:
    wanted = {"ADT": 40, "ORU": 400}
    return [
        Target(
            f"{each['name']} event to FHIR bundle as JSON, best round",
            f"≤ {wanted[each['name']]} µs",
            f"{each['rows'][0]['best_microseconds']:.1f} µs",
            each["rows"][0]["best_microseconds"] <= wanted[each["name"]],
        )
        for each in fhir["messages"]
    ]


def _routing_targets(routing: dict[str, Any]) -> list[Target]:
    conditional, _, many = routing["rows"]
    cost, ratio = conditional["microseconds"], many["times_five"]
    return [
        Target("20 routes with conditions, CPU an event", "≤ 20 µs", f"{cost:.1f} µs", cost <= 20),
        Target("200 routes by type over 5", f"≤ 1.1{TIMES}", times(ratio), ratio <= 1.1),
    ]


def _http_targets(http: dict[str, Any]) -> list[Target]:
    ours = _named(http["servers"], "fi-fhir")
    errors = sum(row["errors"] for row in http["servers"])
    return [
        Target(
            "HTTP parse, requests a CPU second over nginx static",
            "≥ 0.5",
            f"{ours['of_nginx']:.2f}",
            ours["of_nginx"] >= 0.5,
        ),
        Target(
            "the same over an idle aiohttp application",
            f"≥ 3{TIMES}",
            times(ours["of_aiohttp"]),
            ours["of_aiohttp"] >= 3,
        ),
        Target("HTTP errors", "0", str(errors), errors == 0),
    ]


def _memory_targets(memory: dict[str, Any]) -> list[Target]:
    fresh, growth = memory["private_bytes_after_fork"], memory["growth_bytes"]
    return [
        Target(
            "memory of its own of a worker after the fork",
            "≤ 10 MB",
            _megabytes(fresh),
            fresh <= 10 * MEGABYTE,
        ),
        Target(
            f"growth over {memory['messages']:,} messages",
            "flat (≤ 1 MB)",
            _megabytes(growth),
            growth <= MEGABYTE and memory["same_worker"],
        ),
    ]


def _named(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next((row for row in rows if row["name"] == name), {})


def _targets(results: dict[str, Any]) -> str:
    rows = [
        [target.what, target.wanted, target.reached, "yes" if target.met else "**no**"]
        for target in targets(results)
    ]
    return "### Targets\n\n" + _table(["what", "wanted", "reached", "met"], rows)


def _parse(parse: dict[str, Any]) -> str:
    parts = [
        f"### Parsing\n\n{_machine(parse)} {parse['affinity'].capitalize()}, {parse['rounds']} "
        f"interleaved rounds, tokenizer {parse['tokenizer']}."
    ]
    parts += [f"> **NOT RUN: {each['package']}** ({each['reason']})" for each in parse["not_run"]]
    for message in parse["messages"]:
        parts.append(
            f"**{message['name']}**, {message['bytes']:,} bytes; our JSON has "
            f"{message['json_bytes']:,} bytes, the floor writes {message['floor_leaves']} leaves."
        )
        parts.append(_parse_table(message["whole"]))
        parts.append(_parse_table(message["fields"]))
    return "\n\n".join(parts)


def _parse_table(rows: list[dict[str, Any]]) -> str:
    heads = ["", "makes", "messages/s", "best", "MB/s", "µs", "cost over ours"]
    return _table(
        heads,
        [
            [
                f"**{row['name']}**" if row["name"] == "fi-fhir" else row["name"],
                row["makes"],
                f"{row['messages_per_second']:,}",
                f"{row['best_messages_per_second']:,}",
                f"{row['megabytes_per_second']:,.1f}",
                f"{row['microseconds']:,.2f}",
                f"{row['times_ours']:,.2f}",
            ]
            for row in rows
        ],
    )


def _fhir(fhir: dict[str, Any]) -> str:
    parts = [
        f"### FHIR\n\n{_machine(fhir)} {fhir['affinity'].capitalize()}, {fhir['rounds']} "
        "interleaved rounds."
    ]
    parts += [f"> **NOT RUN: {each['package']}** ({each['reason']})" for each in fhir["not_run"]]
    for message in fhir["messages"]:
        parts.append(
            f"**{message['name']}**: {message['resources']} resources, "
            f"{message['bundle_bytes']:,} bytes of JSON."
        )
        parts.append(
            _table(
                ["", "makes", "µs", "best", "cost over ours"],
                [
                    [
                        f"**{row['name']}**" if row["name"] == "fi-fhir" else row["name"],
                        row["makes"],
                        f"{row['microseconds']:,.1f}",
                        f"{row['best_microseconds']:,.1f}",
                        f"{row['times_ours']:,.2f}",
                    ]
                    for row in message["rows"]
                ],
            )
        )
    return "\n\n".join(parts)


def _http(http: dict[str, Any]) -> str:
    heads = [
        "",
        "requests / CPU s",
        "µs CPU",
        "over nginx",
        "over aiohttp",
        "wall requests/s",
        "busy",
        "p50 ms",
        "p99 ms",
        "errors",
    ]
    rows = [
        [
            f"**{row['name']}**" if row["name"] == "fi-fhir" else row["name"],
            f"{row['requests_per_cpu_second']:,}",
            f"{row['cpu_microseconds']:.1f}",
            f"{row['of_nginx']:.2f}",
            f"{row['of_aiohttp']:.2f}",
            f"{row['wall_requests_per_second']:,}",
            f"{row['busy']:.0%}",
            f"{row['p50_milliseconds']:.2f}",
            f"{row['p99_milliseconds']:.2f}",
            str(row["errors"]),
        ]
        for row in http["servers"]
    ]
    return (
        f"### HTTP\n\n{_machine(http)} {http['affinity'].capitalize()}, {http['connections']} "
        f"keep-alive connections, {http['trials']} interleaved trials of {http['seconds']} s; "
        f"{http['request_bytes']:,} bytes in, {http['reply_bytes']:,} out.\n\n{_table(heads, rows)}"
    )


def _mllp_targets(mllp: dict[str, Any]) -> list[Target]:
    wanted = {"ack by ack": 30_000, "pipelined": 60_000}
    return [
        Target(
            f"MLLP messages per server CPU second, {row['case']}",
            f"≥ {wanted[row['case']]:,}",
            f"{row['messages_per_cpu_second']:,}",
            row["messages_per_cpu_second"] >= wanted[row["case"]],
        )
        for row in mllp["rows"]
    ]


def _mllp(mllp: dict[str, Any]) -> str:
    heads = ["", "connections", "messages on the way in each", "messages/CPU s", "messages/s"]
    rows = [
        [
            row["case"],
            str(row["connections"]),
            str(row["window"]),
            f"{row['messages_per_cpu_second']:,}",
            f"{row['messages_per_second']:,}",
        ]
        for row in mllp["rows"]
    ]
    return (
        f"### MLLP\n\n{_machine(mllp)} Read, made an event, routed to nowhere, acknowledged: "
        f"{mllp['message_bytes']:,} bytes, {mllp['trials']} interleaved trials of "
        f"{mllp['seconds']} s, one worker.\n\n{_table(heads, rows)}"
    )


def _durable_targets(durable: dict[str, Any]) -> list[Target]:
    [recorded] = [row for row in durable["rows"] if row["case"] == "recorded"]
    cost, worst = recorded["messages_per_cpu_second"], recorded["p99_ms"]
    again = durable["letters_per_second"]
    return [
        Target(
            "acknowledged after a commit of Postgres, messages per server CPU second",
            "≥ 12,000",
            f"{cost:,}",
            cost >= 12_000,
        ),
        Target("99 of 100 of those are acknowledged within", "≤ 50 ms", f"{worst} ms", worst <= 50),
        Target("dead letters replayed to a webhook", "≥ 2,000/s", f"{again:,}/s", again >= 2_000),
    ]


def _durable(durable: dict[str, Any]) -> str:
    heads = ["a message is", "messages/CPU s", "messages/s", "half within", "99 of 100 within"]
    rows = [
        [
            row["case"],
            f"{row['messages_per_cpu_second']:,}",
            f"{row['messages_per_second']:,}",
            f"{row['p50_ms']} ms",
            f"{row['p99_ms']} ms",
        ]
        for row in durable["rows"]
    ]
    return (
        f"### Acknowledged after a commit\n\n{_machine(durable)} Over MLLP into Postgres, "
        f"{durable['connections']} senders with one message of {durable['message_bytes']:,} bytes "
        f"on its way each, {durable['trials']} interleaved trials of {durable['seconds']} s, one "
        "worker; `recorded` if no route wants it, `delivered` if a route logs it. Postgres shares "
        f"the other core with the senders.\n\n{_table(heads, rows)}\n\n"
        f"`fi-fhir dlq replay` of {durable['letters']:,} dead letters to a webhook of nginx, with "
        f"its start: **{durable['letters_per_second']:,}** a second."
    )


def _accept(accept: dict[str, Any]) -> str:
    heads = [
        "workers",
        "arrival",
        "connections of each, trial by trial",
        "worst max/mean",
        "all accepted, ms",
    ]
    rows = [
        [
            str(row["workers"]),
            row["arrival"],
            " ".join("/".join(map(str, held)) for held in row["per_worker"]),
            f"{row['worst_max_over_mean']:.2f}",
            f"{row['milliseconds']:.0f}",
        ]
        for row in accept["rows"]
    ]
    return (
        f"### Accepting\n\n{_machine(accept)} {accept['connections']} connections, "
        f"{accept['trials']} trials each.\n\n{_table(heads, rows)}"
    )


def _memory(memory: dict[str, Any]) -> str:
    seen = " ".join(f"{each / MEGABYTE:.1f}" for each in memory["resident_bytes"])
    return (
        f"### Memory\n\n{_machine(memory)} One worker: "
        f"{_megabytes(memory['private_bytes_after_fork'])} of its own after the fork "
        f"({_megabytes(memory['resident_bytes_after_fork'])} resident, most of it shared), "
        f"{_megabytes(memory['private_bytes_after'])} after {memory['messages']:,} messages over "
        f"HTTP. Resident MB on the way: {seen}."
    )


def _routing(routing: dict[str, Any]) -> str:
    head = (
        f"### Routing\n\n{_machine(routing)} {routing['affinity'].capitalize()}, "
        f"{routing['rounds']} interleaved rounds. Each time a new ADT event: what conditions ask "
        "for is read out of its JSON, and that is part of the figure."
    )
    rows = [
        [
            row["name"],
            f"{row['microseconds']:,.2f}",
            f"{row['best_microseconds']:,.2f}",
            f"{row['times_five']:,.2f}",
        ]
        for row in routing["rows"]
    ]
    return head + "\n\n" + _table(["workflow", "µs an event", "best", "over 5 routes"], rows)


def _machine(section: dict[str, Any]) -> str:
    machine = section["machine"]
    return (
        f"{machine['date']}, {machine['processor']}, {machine['cores']} cores, "
        f"{machine['system']}, {machine['python']}, load before {machine['load_before']}."
    )


def _megabytes(size: float) -> str:
    return f"{size / MEGABYTE:.2f} MB"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
