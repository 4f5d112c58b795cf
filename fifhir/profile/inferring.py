"""A profile written from samples: what was most common, and in comments what else was seen."""

import json
from collections import Counter
from collections.abc import Iterator

from fifhir.profile.config import codec
from fifhir.profile.sampling import Samples

_VERSIONS = {"2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1"}
_VERSIONS |= {"2.8", "2.8.1", "2.8.2", "2.9"}


def infer(samples: Samples, *, id: str, name: str, version: str, timezone: str) -> str:
    """The YAML of a profile that fits the samples; what they cannot tell is said in comments."""
    lines = [
        f"# Inferred from {_count(samples.messages, 'message')}"
        f"{f', {samples.broken} of them unreadable' if samples.broken else ''}.",
        f"# Types: {_seen(samples.types)}.",
        "source_profile:",
        f"  id: {id}",
        f"  name: {json.dumps(name)}",
        f"  version: {json.dumps(version)}",
        "  hl7v2:",
        *_hl7(samples, timezone),
        *_classes(samples),
        "  z_segments:",
        "    preserve_raw: true",
        *_own(samples),
    ]
    return "\n".join(lines) + "\n"


def _hl7(samples: Samples, timezone: str) -> Iterator[str]:
    version = _most({v: n for v, n in samples.versions.items() if v in _VERSIONS}, "2.5.1")
    yield f'    default_version: "{version}"  # MSH-12: {_seen(samples.versions)}'
    share = f"{samples.offsets} of {samples.messages - samples.broken}"
    yield f"    timezone: {timezone}  # MSH-7 has an offset of its own in {share}"
    usual = _most({c: n for c, n in samples.charsets.items() if not c or codec(c)}, "")
    charset = usual or ("windows-1252" if samples.guessed else "UTF-8")
    yield "    encoding:"
    yield f"      charset_default: {json.dumps(charset)}  # MSH-18: {_seen(samples.charsets)}"
    yield "      charset_detection: true"
    yield f"      line_ending_mode: tolerant  # LF in {samples.with_lf}, CR in {samples.with_cr}"
    yield "    tolerate:"
    lacking = ", ".join(samples.lacking)
    yield f"      missing_segments: [{lacking}]  # absent from: {_seen(samples.lacking)}"
    yield "      nte_anywhere: true"
    yield "      extra_components: true"
    yield "      unknown_segments: false"
    others = samples.delimiters["other"]
    yield f"      non_standard_delimiters: {'true' if others else 'false'}  # seen in {others}"


_CLASSES = {
    "E": "emergency_registration",
    "I": "inpatient_admit",
    "O": "outpatient_registration",
    "P": "preadmit",
    "R": "recurring_patient",
}
_DEFAULTS = {"A01": "patient_admit", "A04": "outpatient_registration", "A08": "patient_update"}


def _classes(samples: Samples) -> Iterator[str]:
    """Rules for the kinds of visit that were seen, as the original has them."""
    seen = {kind.removeprefix("ADT^") for kind in samples.types}
    if not seen & _DEFAULTS.keys():
        return
    yield "    event_classification:"
    for trigger, default in _DEFAULTS.items():
        if trigger in seen:
            yield f"      adt_{trigger.lower()}:"
            yield f"        default: {default}"
        if trigger in seen and trigger == "A01":
            yield "        rules:"
            for code, name in _CLASSES.items():
                yield f"          - {{condition: \"PV1.2 == '{code}'\", event: {name}}}"


def _own(samples: Samples) -> Iterator[str]:
    if not samples.own:
        yield "    mappings: {}  # no Z segment was seen"
        return
    yield "    mappings:  # give each field a target: - {field: 1, target: visit.reason}"
    for name, count in sorted(samples.own.items()):
        numbers = ", ".join(map(str, sorted(samples.fields[name]))) or "none"
        yield f"      {name}: []  # {_count(count, 'segment')}; fields with values: {numbers}"


def _most(counts: dict[str, int], otherwise: str) -> str:
    return max(counts, key=lambda each: counts[each], default=otherwise)


def _seen(counts: Counter[str]) -> str:
    """`2.5.1 18, none 2`, the most frequent first."""
    told = [f"{name or 'none'} {count}" for name, count in counts.most_common(12)]
    return ", ".join(told) or "nothing"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
