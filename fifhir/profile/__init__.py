"""What one feed is allowed to get wrong, how its times and characters are read, what it means.

A profile is made once, before the fork, and never changed. The built-in one judges nothing, so
that its messages take the straight way to JSON.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, structs

from fifhir import dtm
from fifhir.event import CodeableConcept, Patient, UnmappedMessage, Warning
from fifhir.profile import classifying, extensions, identifiers, tolerance, translating
from fifhir.profile.config import BUILT_IN, SourceProfile, codec
from fifhir.profile.walking import Walk

if TYPE_CHECKING:
    from fifhir.event import Event
    from fifhir.message import Message

_PHASES = ("byte", "syntactic", "semantic")


class Profile:
    """How to read one source's messages.

    `zone` is where times without an offset were written. `charset` is the codec of messages
    that do not name one in MSH-18; with `guess_charset`, bytes that are not valid in it are read
    as Windows-1252, with a warning. With `tolerate_delimiters`, an MSH-2 damaged in one of the
    known ways is read as what it was, with a warning. It `is_plain` if it asks for nothing that a
    message without Z segments could show.
    """

    def __init__(self, settings: SourceProfile = BUILT_IN, tables: translating.Tables = ()) -> None:
        hl7 = settings.hl7v2
        self.id = settings.id
        self.settings = settings
        self.charset = codec(hl7.encoding.charset_default)
        self.guess_charset = hl7.encoding.charset_detection
        self.tolerate_delimiters = hl7.tolerate.non_standard_delimiters
        self._checks = tolerance.checks(settings)
        self._tolerated = hl7.tolerate.missing_segments
        changes = identifiers.changes(settings.identifiers)
        if tables:
            changes[CodeableConcept] = translating.change(settings, tables)
        self._walk = Walk(changes) if changes else None
        self._kinds = classifying.compile(settings)
        self._z = settings.z_segments.preserve_raw or bool(settings.z_segments.mappings)
        self._version = hl7.default_version
        self._changes = bool(changes or self._kinds)
        self.is_plain = not (self._checks or self._changes or self._version)

    @cached_property
    def zone(self) -> dtm.Zone:
        return dtm.zone(self.settings.hl7v2.timezone)

    def tolerates(self, segment: bytes) -> bool:
        """Whether a message may lack this segment although its event expects it."""
        return self._tolerated is None or segment.decode() in self._tolerated

    def leaves(self, message: "Message") -> bool:
        """Whether the event of this message, once inspected, is what the rows alone say.

        Of a message without Z segments, that is; the plans know whether it has any.
        """
        return not self._changes and (not self._version or message.cut(0, 12) != b"")

    def keeps(self, segment: str, field: int) -> bool:
        """Whether the value of a Z segment's field comes out, mapped or raw."""
        settings = self.settings.z_segments
        if settings.preserve_raw:
            return True
        rows = settings.mappings.get(segment, ())
        return any(row.field.split(".")[0] == str(field) for row in rows)

    def inspect(self, message: "Message") -> tuple[Warning, ...]:
        """What the profile has to say of the message as such; MessageError if it refuses it."""
        return tuple(warning for check in self._checks for warning in check(message))

    def finish(self, event: Any, message: "Message", told: tuple[Warning, ...]) -> "Event":
        """The event as the profile wants it, `told` and further warnings in it."""
        if not told and self.leaves(message) and not extensions.mentions_z(message):
            return event  # type: ignore[no-any-return]
        warnings = [*event.parse_warnings, *told]
        event = self._versioned(event)
        if self._walk:
            event = self._walk.changed(event, warnings.append)
        if self._kinds:
            event, faults = classifying.classified(event, message, self._kinds)
            warnings += faults
        if self._z and extensions.mentions_z(message):
            event = self._extended(event, message, warnings)
        warnings.sort(key=lambda warning: _PHASES.index(warning.phase))
        return structs.replace(event, parse_warnings=tuple(dict.fromkeys(warnings)))  # type: ignore[no-any-return]

    def _versioned(self, event: Any) -> Any:
        if event.header.version or not self._version:
            return event
        header = structs.replace(event.header, version=self._version)
        return structs.replace(event, header=header)

    def _extended(self, event: Any, message: "Message", warnings: list[Warning]) -> Any:
        patient = getattr(event, "patient", UNSET)
        if isinstance(event, UnmappedMessage):
            return event
        zone = message.offset or self.zone
        found, told = extensions.read(message, self.settings.z_segments, zone)
        warnings += told
        if not found:
            return event
        if not isinstance(patient, Patient):
            text = "Z segments belong to no patient here and were left out"
            warnings.append(Warning("semantic", "Z_SEGMENT_LEFT_OUT", text))
            return event
        return structs.replace(event, patient=structs.replace(patient, extensions=found))


DEFAULT = Profile()
