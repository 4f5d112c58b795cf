"""Which profile reads a message: the first rule that fits its source, its MSH-3 and its MSH-4."""

from collections.abc import Iterable, Mapping
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from fifhir.errors import ConfigError, Finding
from fifhir.profile import DEFAULT, Profile
from fifhir.schema import Faults, near

HEAD = 1024  # bytes in which MSH-3 and MSH-4 have to stand


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A profile and the messages it is for; what is left out fits all."""

    profile: Annotated[str, Meta(min_length=1, description="The profile's id.")]
    source: Annotated[str, Meta(description="Name of the source.")] = ""
    application: Annotated[str, Meta(description="MSH-3, its first component or all.")] = ""
    facility: Annotated[str, Meta(description="MSH-4, its first component or all.")] = ""

    def faults(self) -> Faults:
        if not (self.source or self.application or self.facility):
            yield (), "fits every message; write profiles.default instead"


class Sender(NamedTuple):
    """Messages of one MSH-3 and MSH-4, and the profile that reads them; empty fits all."""

    application: bytes
    facility: bytes
    profile: Profile

    def fits(self, application: bytes, facility: bytes) -> bool:
        return _is(self.application, application) and _is(self.facility, facility)


class Choice(NamedTuple):
    """How the messages of one source are read: by `senders` where one fits, else by `profile`."""

    profile: Profile
    senders: tuple[Sender, ...] = ()

    def of(self, raw: bytes) -> Profile:
        """The profile for the message in `raw`, which need not be opened for that."""
        if not self.senders:
            return self.profile
        application, facility = _sender(raw)
        for sender in self.senders:
            if sender.fits(application, facility):
                return sender.profile
        return self.profile


class Profiles:
    """All profiles there are, and the rules that choose between them.

    Raises ConfigError if a rule names one that there is not.
    """

    def __init__(
        self,
        loaded: Mapping[str, Profile] | None = None,
        rules: Iterable[Rule] = (),
        default: str = DEFAULT.id,
    ) -> None:
        self.known = {DEFAULT.id: DEFAULT, **(loaded or {})}
        self._rules = tuple(rules)
        self._default = default
        named = [(f"profiles.rules[{n}].profile", r.profile) for n, r in enumerate(self._rules)]
        self.check([("profiles.default", default), *named])

    def check(self, named: Iterable[tuple[str, str]]) -> None:
        """Every profile named is known; ConfigError tells the places of those that are not."""
        wrong = [
            Finding(place, f"no such profile '{id}'{near(id, tuple(self.known))}")
            for place, id in named
            if id not in self.known
        ]
        if wrong:
            raise ConfigError(tuple(wrong))

    def choice(self, source: str, asked: str = "") -> Choice:
        """How messages of a source are read; KeyError if the profile asked for is not known."""
        if asked:
            return Choice(self.known[asked])
        senders: list[Sender] = []
        for rule in self._rules:
            if rule.source not in ("", source):
                continue
            profile = self.known[rule.profile]
            if not (rule.application or rule.facility):
                return Choice(profile, tuple(senders))
            senders.append(Sender(rule.application.encode(), rule.facility.encode(), profile))
        return Choice(self.known[self._default], tuple(senders))


def _is(wanted: bytes, sent: bytes) -> bool:
    return not wanted or sent == wanted or sent.startswith(wanted + b"^")


def _sender(raw: bytes) -> tuple[bytes, bytes]:
    """MSH-3 and MSH-4; in UTF-16 their letters are those of ASCII between zeros."""
    start = max(raw.find(b"M"), 0)
    head = raw[start : start + HEAD].replace(b"\0", b"")
    fields = head.split(head[3:4] or b"|", 4)
    return (fields[2], fields[3]) if len(fields) > 4 else (b"", b"")
