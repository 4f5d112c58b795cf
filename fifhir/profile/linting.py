"""What a profile leaves open, and what its messages have that it does not expect."""

from collections.abc import Iterator

from fifhir import document, schema
from fifhir.errors import Finding
from fifhir.profile.config import SourceProfile, codec
from fifhir.profile.sampling import Samples

_OPEN = (  # what works when left out, but is better said
    ("version",),
    ("hl7v2", "default_version"),
    ("hl7v2", "timezone"),
    ("hl7v2", "encoding"),
    ("z_segments", "mappings"),
)


def lint(text: str, name: str, profile: SourceProfile, samples: Samples | None) -> list[Finding]:
    """Warnings about a profile that can be read; `samples` are messages it should fit."""
    root, _ = document.compose(text, name)
    assert isinstance(root, document.Mapping)
    node = root.entries["source_profile"].node
    found = [
        Finding(schema.descend(node, path), f"{'.'.join(path)} is not given")
        for path in _OPEN
        if not _is_given(node, path)
    ]
    for knob in ("unknown_segments", "non_standard_delimiters"):
        if getattr(profile.hl7v2.tolerate, knob):
            place = schema.descend(node, ("hl7v2", "tolerate", knob))
            found.append(Finding(place, f"tolerate.{knob} is true, so they go unnoticed"))
    if samples:
        found += [Finding(schema.descend(node, p), text) for p, text in _drift(profile, samples)]
    return found


def _is_given(node: document.Node, path: tuple[str, ...]) -> bool:
    for step in path:
        if not isinstance(node, document.Mapping) or step not in node.entries:
            return False
        node = node.entries[step].node
    return not (isinstance(node, document.Scalar) and node.text == "")


def _drift(profile: SourceProfile, samples: Samples) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where the samples are not what the profile says."""
    hl7, readable = profile.hl7v2, samples.messages - samples.broken
    if samples.broken:
        yield (), f"{samples.broken} of {samples.messages} samples cannot be read"
    for version, count in samples.versions.items():
        if hl7.default_version and version not in ("", hl7.default_version):
            yield ("hl7v2", "default_version"), f"MSH-12 is {version} in {count} of {readable}"
    wanted = codec(hl7.encoding.charset_default)
    for charset, count in samples.charsets.items():
        if charset and codec(charset) != wanted:
            place = ("hl7v2", "encoding", "charset_default")
            yield place, f"MSH-18 is {charset} in {count} of {readable}"
    others = samples.delimiters["other"]
    if others and not hl7.tolerate.non_standard_delimiters:
        place = ("hl7v2", "tolerate", "non_standard_delimiters")
        yield place, f"{others} of {readable} samples have other delimiters"
    for name, count in samples.own.items():
        if not profile.z_segments.mappings.get(name):
            yield ("z_segments", "mappings"), f"{name} stands in samples {count} times, unmapped"
