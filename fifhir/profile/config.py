"""A source profile as it is written: `source_profile:` in YAML, as structs.

A field that is left out is as the built-in profile has it, which judges nothing and changes
nothing. Every knob acts, or is refused here with its place; none is ignored.
"""

import codecs
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from fifhir import document, dtm, schema, tables
from fifhir.errors import CelError, ConfigError, Finding
from fifhir.profile import condition
from fifhir.schema import Faults

SEGMENT = r"^[A-Z][A-Z0-9]{2}$"
LATER = frozenset({"edi", "versions", "metrics", "alerts", "quality"})
LIMITS = {"XCN": 25, "CX": 12, "XPN": 15}  # components of each data type in HL7 v2.9, chapter 2A

Segment: TypeAlias = Annotated[str, Meta(pattern=SEGMENT)]
Components: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^(flexible|[1-9][0-9]?)$",
        description="The most components fields of this type should have, or `flexible`. More are "
        "the warning EXTRA_COMPONENTS, or with `tolerate.extra_components: false` an error.",
    ),
]
OnInvalid: TypeAlias = Literal["warn", "error", "pass"]


class Encoding(Struct, frozen=True, kw_only=True):
    """How bytes become text."""

    charset_default: Annotated[
        str,
        Meta(description="Character set of messages that name none in MSH-18 (HL7's or IANA's)."),
    ] = "UTF-8"
    charset_detection: Annotated[
        bool,
        Meta(
            description="Whether bytes that are not valid in a message's character set are read "
            "as Windows-1252, with the warning CHARSET_GUESSED; else they are an error."
        ),
    ] = True
    line_ending_mode: Annotated[
        Literal["tolerant", "strict"],
        Meta(description="`strict` refuses a message whose segments do not all end with CR."),
    ] = "tolerant"

    def faults(self) -> Faults:
        if not codec(self.charset_default):
            yield ("charset_default",), "no such character set, or one without ASCII's delimiters"


class Tolerate(Struct, frozen=True, kw_only=True):
    """What a message may get wrong. What is not tolerated makes it an error (AE, HTTP 422)."""

    missing_segments: Annotated[
        tuple[Segment, ...] | None,
        Meta(
            description="Segments whose absence is only a warning (MISSING_PV1), of those the "
            "message's event expects; left out, all of them."
        ),
    ] = None
    nte_anywhere: Annotated[
        bool, Meta(description="Whether an NTE may stand behind what it cannot annotate.")
    ] = True
    extra_components: Annotated[
        bool,
        Meta(description="Whether XCN, CX and XPN fields may have more components than allowed."),
    ] = True
    unknown_segments: Annotated[
        bool,
        Meta(
            description="Whether there may be segments that neither HL7 nor `z_segments` knows; "
            "with `preserve_raw` that knows all whose name begins with Z."
        ),
    ] = True
    non_standard_delimiters: Annotated[
        bool,
        Meta(
            description=r"Whether delimiters other than `|^~\&` are read; among them the known "
            "damages of MSH-2, with the warning NON_STANDARD_DELIMITERS."
        ),
    ] = True

    def faults(self) -> Faults:
        for n, segment in enumerate(self.missing_segments or ()):
            if segment == "MSH":
                yield ("missing_segments", n), "a message begins with MSH; it cannot be missing"


class Datatypes(Struct, frozen=True, kw_only=True):
    """How many components fields of a data type have."""

    xcn_component_count: Components = "flexible"
    cx_component_count: Components = "flexible"
    xpn_component_count: Components = "flexible"


class ClassRule(Struct, frozen=True, kw_only=True):
    """One answer to what an event means, and when."""

    condition: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=4096,
            description="CEL, which may name fields of the message: `PV1.2 == 'E'`. Absent ones "
            "are the empty text; `event` is the event as JSON has it.",
        ),
    ]
    event: Annotated[
        str,
        Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$", description="The classification if it holds."),
    ]

    def faults(self) -> Faults:
        try:
            condition.read(self.condition)
        except CelError as fault:
            yield ("condition",), f"character {fault.column}: {fault}"


class Classification(Struct, frozen=True, kw_only=True):
    """What events of one kind of message mean: the first rule whose condition holds."""

    default: Annotated[
        str, Meta(pattern=r"^([a-z][a-z0-9_]{0,63})?$", description="Where none holds.")
    ] = ""
    rules: Annotated[
        tuple[ClassRule, ...],
        Meta(max_length=100, description="The first whose condition holds counts."),
    ] = ()


class Hl7v2(Struct, frozen=True, kw_only=True):
    """How messages are read."""

    default_version: Annotated[
        Literal["", "2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1",
                "2.8", "2.8.1", "2.8.2", "2.9"],
        Meta(description="Stands in for MSH-12 where it is empty."),
    ] = ""  # fmt: skip
    timezone: Annotated[
        str,
        Meta(
            description="Where times without an offset were written (IANA name); a message's own "
            "offset in MSH-7 goes before it."
        ),
    ] = "UTC"
    encoding: Encoding = Encoding()
    tolerate: Tolerate = Tolerate()
    datatypes: Datatypes = Datatypes()
    event_classification: Annotated[
        dict[str, Classification],
        Meta(
            description="For a kind of message (`adt_a01`) what goes into "
            "`encounter.classified_event_type`; the event's `type` stays.",
            extra={"keys": r"^adt_a[0-9]{2}$"},
        ),
    ] = {}

    def faults(self) -> Faults:
        try:
            dtm.zone(self.timezone)
        except KeyError:
            yield ("timezone",), "no such time zone; write an IANA name like America/New_York"


class ZMapping(Struct, frozen=True, kw_only=True):
    """Where one field of a Z segment goes."""

    field: Annotated[
        str,
        Meta(
            pattern=r"^[1-9][0-9]{0,2}([.][1-9][0-9]?){0,2}$",
            description="Number of the field, `3`, or of its component, `3.1`.",
        ),
    ]
    target: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z_][A-Za-z0-9_]*([.][A-Za-z_][A-Za-z0-9_]*){0,7}$",
            description="Key in `patient.extensions`; dots nest.",
        ),
    ]
    type: Annotated[
        Literal["string", "integer", "float", "boolean", "date", "datetime"],
        Meta(description="What the value is read as; one that is not is left out with a warning."),
    ] = "string"


class ZSegments(Struct, frozen=True, kw_only=True):
    """What the sender's own segments mean."""

    preserve_raw: Annotated[
        bool,
        Meta(
            description="Whether Z segments without a mapping, or with a field that theirs "
            "leaves out, go into `patient.extensions` as `raw_ZXX`, their text as sent."
        ),
    ] = True
    mappings: Annotated[
        dict[str, Annotated[tuple[ZMapping, ...], Meta(max_length=100)]],
        Meta(
            description="For each Z segment the fields to read.", extra={"keys": r"^Z[A-Z0-9]{2}$"}
        ),
    ] = {}

    def faults(self) -> Faults:
        taken: dict[str, str] = {}
        for name, rows in self.mappings.items():
            for n, row in enumerate(rows):
                for known in taken:
                    if _collide(known, row.target):
                        yield (
                            ("mappings", name, n, "target"),
                            f"'{row.target}' and '{known}' cannot both be in one event",
                        )
                taken[row.target] = name


class Preference(Struct, frozen=True, kw_only=True):
    """One kind of identifier; what is left out fits all."""

    type: Annotated[str, Meta(description="Its type as events have it: MR, SS, PI, ...")] = ""
    assigner_contains: Annotated[str, Meta(description="What is part of its assigner.")] = ""
    assigner_equals: Annotated[str, Meta(description="Its assigner.")] = ""

    def faults(self) -> Faults:
        if not (self.type or self.assigner_contains or self.assigner_equals):
            yield (), "prefers nothing; give type, assigner_contains or assigner_equals"


class Check(Struct, frozen=True, kw_only=True):
    """Whether identifiers of one kind are checked, and what an invalid one is."""

    enabled: Annotated[
        bool,
        Meta(description="Whether they are checked; a section that is left out checks nothing."),
    ] = True
    on_invalid: Annotated[
        OnInvalid,
        Meta(description="`warn` adds a warning, `error` refuses the message, `pass` only marks."),
    ] = "warn"


OFF = Check(enabled=False)


class Validation(Struct, frozen=True, kw_only=True):
    """Which identifiers are checked: they get `is_valid`, invalid ones `validation_error`."""

    npi: Annotated[Check, Meta(description="National Provider Identifier (Luhn over 80840).")] = OFF
    mbi: Annotated[Check, Meta(description="Medicare Beneficiary Identifier (type MB).")] = OFF
    ssn: Annotated[Check, Meta(description="Social Security Number (type SS).")] = OFF
    dea: Annotated[Check, Meta(description="DEA registration number.")] = OFF


class SsnRules(Struct, frozen=True, kw_only=True):
    """How Social Security Numbers are written."""

    strip_dashes: Annotated[bool, Meta(description="Whether dashes and blanks are left out.")] = (
        False
    )
    reject_patterns: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[0-9]{3}-?[0-9]{2}-?[0-9]{4}$")], ...],
        Meta(description="Numbers that are placeholders, and so invalid."),
    ] = ("000000000", "123456789", "111111111", "999999999")


class PhoneRules(Struct, frozen=True, kw_only=True):
    """How phone numbers are written."""

    strip_country_code: Annotated[
        bool, Meta(description="Whether the 1 of North America before ten digits is left out.")
    ] = False
    normalize_to_digits: Annotated[
        bool, Meta(description="Whether all but digits is left out.")
    ] = False


class MrnRules(Struct, frozen=True, kw_only=True):
    """How medical record numbers are written."""

    strip_leading_zeros: Annotated[
        bool, Meta(description="Whether zeros at the front are left out.")
    ] = False
    uppercase: Annotated[bool, Meta(description="Whether letters become capitals.")] = False


class Normalization(Struct, frozen=True, kw_only=True):
    """How values are written; the identifier as sent stays in `original_value`."""

    ssn: SsnRules = SsnRules()
    phone: PhoneRules = PhoneRules()
    mrn: MrnRules = MrnRules()


class Identifiers(Struct, frozen=True, kw_only=True):
    """How identifiers are told apart, checked and written."""

    assigning_authority_map: Annotated[
        dict[str, Annotated[str, Meta(min_length=1)]],
        Meta(description="The `system` of identifiers that name only an assigner."),
    ] = {}
    primary_id_preference: Annotated[
        tuple[Preference, ...],
        Meta(
            description="Which identifier is `primary`, and which MR is `mrn`: the first that fits."
        ),
    ] = ()
    validation: Validation = Validation()
    normalization: Normalization = Normalization()


class CodeMapping(Struct, frozen=True, kw_only=True):
    """A file of codes and what they are in another system."""

    source_system: Annotated[
        str, Meta(min_length=1, description="The `system` of codings that are translated.")
    ]
    target_system: Annotated[
        str, Meta(min_length=1, description="The `system` of what is put beside them.")
    ]
    file: Annotated[
        str,
        Meta(
            min_length=1,
            description="CSV with the columns source_code, target_code and target_display; a "
            "relative path starts where this file is.",
        ),
    ]


class Terminology(Struct, frozen=True, kw_only=True):
    """Codes in other systems: every coding of a `source_system` gets its translation beside it."""

    mappings: tuple[CodeMapping, ...] = ()
    unknown_code_behavior: Annotated[
        OnInvalid, Meta(description="What a code that a mapping has not is.")
    ] = "warn"
    strict_validation: Annotated[bool, Meta(description="As `unknown_code_behavior: error`.")] = (
        False
    )


class SourceProfile(Struct, frozen=True, kw_only=True):
    """How the messages of one source are read."""

    id: Annotated[
        str,
        Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="What it is chosen by."),
    ]
    name: Annotated[str, Meta(min_length=1, description="What people call it.")]
    version: Annotated[str, Meta(description="Your own version of the file.")] = ""
    description: Annotated[str, Meta(description="For whoever reads it.")] = ""
    hl7v2: Hl7v2 = Hl7v2()
    z_segments: ZSegments = ZSegments()
    identifiers: Identifiers = Identifiers()
    terminology: Terminology = Terminology()


class File(Struct, frozen=True, kw_only=True):
    """A profile's file."""

    source_profile: SourceProfile


BUILT_IN = SourceProfile(id="default", name="Default Profile")


def codec(name: str) -> str:
    """Python's name of a character set in which ASCII is what it is; "" if there is none."""
    known = tables.CHARSETS.get(name) or tables.CHARSETS.get(name.upper()) or name
    try:
        found = codecs.lookup(known).name
        plain = "MSH|^~\\&\r".encode(found) == b"MSH|^~\\&\r"
    except (LookupError, UnicodeError, ValueError):
        return ""
    return found if plain else ""


def _collide(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def load(text: str, name: str) -> SourceProfile:
    """The profile in `text`; ConfigError tells all that is wrong with it."""
    profile, findings = read(text, name)
    if profile is None or findings:
        raise ConfigError(schema.in_order(findings))
    return profile


def read(text: str, name: str) -> tuple[SourceProfile | None, list[Finding]]:
    """The profile in `text` as far as it can be read, and what is wrong with it."""
    root, findings = document.compose(text, name)
    if root is None:
        return None, findings
    file, wrong = schema.read(root, File, LATER)
    return (file.source_profile if file else None), findings + wrong
