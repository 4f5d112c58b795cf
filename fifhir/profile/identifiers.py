"""Identifiers, phones and providers as a profile wants them: written, checked, told apart."""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import UNSET, structs

from fifhir.errors import MessageError
from fifhir.event import (
    ContactPoint,
    Identifier,
    IdentifierSet,
    Patient,
    Prior,
    Provider,
    Warning,
)
from fifhir.profile import checking
from fifhir.profile.config import Check, Identifiers, OnInvalid, Preference
from fifhir.profile.walking import Change, Tell

_KINDS = {"NPI": "npi", "MB": "mbi", "SS": "ssn", "DEA": "dea"}  # HL70203 to the profile's names
_SUBSCRIBER = 10  # digits of a phone number in North America


def changes(settings: Identifiers) -> dict[type, Change]:
    """What becomes of each kind of struct; none for a profile that leaves all as it is."""
    found: dict[type, Change] = {}
    rules = _Rules(settings)
    if settings != Identifiers():
        found |= {Identifier: rules.identifier, IdentifierSet: rules.identifier_set}
        found |= {Patient: rules.patient, Prior: rules.prior}
    if settings.validation.npi.enabled:
        found[Provider] = rules.provider
    phone = settings.normalization.phone
    if phone.strip_country_code or phone.normalize_to_digits:
        found[ContactPoint] = rules.phone
    return found


class _Rules:
    """The knobs of `identifiers:`, each a change of one kind of struct."""

    def __init__(self, settings: Identifiers) -> None:
        self._settings = settings
        self._placeholders = frozenset(map(_bare, settings.normalization.ssn.reject_patterns))

    def identifier(self, sent: Identifier, place: str, tell: Tell) -> Identifier:
        """Its system filled in, its value written as wanted, and checked."""
        if not sent.value:
            return sent
        system = sent.system or self._settings.assigning_authority_map.get(sent.assigner or "", "")
        value = self._written(sent.type or "", sent.value)
        found = sent
        if value != sent.value:
            found = structs.replace(sent, system=system, value=value, original_value=sent.value)
        elif system != sent.system:
            found = structs.replace(sent, system=system)
        kind = _KINDS.get(sent.type or "", "")
        check: Check | None = getattr(self._settings.validation, kind) if kind else None
        if check is None or not check.enabled:
            return found
        fault = self._fault(kind, value)
        _judge(fault, check.on_invalid, f"{place}.1", tell)
        return structs.replace(found, is_valid=not fault, validation_error=fault)

    def identifier_set(self, sent: IdentifierSet, place: str, tell: Tell) -> IdentifierSet:
        """Its primary is the preferred one, else the first medical record number."""
        preferred = self._preferred(sent.identifiers)
        chosen = preferred or _first(sent.identifiers, "MR")
        if chosen is sent.primary or not (chosen or sent.primary):
            return sent
        return structs.replace(sent, primary=chosen or UNSET)

    def patient(self, sent: Patient, place: str, tell: Tell) -> Patient:
        """Its `mrn` and `phone` are those of its lists."""
        mrn = self._mrn(sent.identifiers.identifiers, sent.mrn)
        phone = next((each.value for each in sent.phones if each.value), sent.phone)
        if mrn == sent.mrn and phone == sent.phone:
            return sent
        return structs.replace(sent, mrn=mrn, phone=phone)

    def prior(self, sent: Prior, place: str, tell: Tell) -> Prior:
        return structs.replace(sent, mrn=self._mrn(sent.identifiers, sent.mrn))

    def provider(self, sent: Provider, place: str, tell: Tell) -> Provider:
        if sent.npi:
            wanted = self._settings.validation.npi.on_invalid
            _judge(checking.npi(sent.npi), wanted, place, tell)
        return sent

    def phone(self, sent: ContactPoint, place: str, tell: Tell) -> ContactPoint:
        if not sent.value:
            return sent
        rules, value = self._settings.normalization.phone, sent.value
        digits = "".join(filter(str.isdecimal, value))
        if rules.strip_country_code and len(digits) == _SUBSCRIBER + 1 and digits[0] == "1":
            digits = digits[1:]
            value = value.partition("1")[2].lstrip(" -.")
        return structs.replace(sent, value=digits if rules.normalize_to_digits else value)

    def _written(self, kind: str, value: str) -> str:
        rules = self._settings.normalization
        if kind == "SS" and rules.ssn.strip_dashes:
            return _bare(value)
        if kind == "MB" and self._settings.validation.mbi.enabled:
            return _bare(value).upper()
        if kind != "MR":
            return value
        if rules.mrn.strip_leading_zeros:
            value = value.lstrip("0") or value[-1:]
        return value.upper() if rules.mrn.uppercase else value

    def _fault(self, kind: str, value: str) -> str:
        if kind == "ssn":
            return checking.ssn(_bare(value), self._placeholders)
        check: Callable[[str], str] = getattr(checking, kind)
        return check(value)

    def _mrn(self, all_of_them: tuple[Identifier, ...], sent: Any) -> Any:
        records = [each for each in all_of_them if each.type == "MR" and each.value]
        chosen = self._preferred(records) or next(iter(records or all_of_them), None)
        return sent if chosen is None else chosen.value

    def _preferred(self, all_of_them: Iterable[Identifier]) -> Identifier | None:
        for wanted in self._settings.primary_id_preference:
            for each in all_of_them:
                if each.value and _fits(each, wanted):
                    return each
        return None


def _judge(fault: str, on_invalid: OnInvalid, place: str, tell: Tell) -> None:
    if not fault or on_invalid == "pass":
        return
    text = "identifier is not a valid one of its type"
    if on_invalid == "error":
        raise MessageError(fault.lower(), text, location=place, code="102")
    tell(Warning("semantic", fault, text, place))


def _fits(each: Identifier, wanted: Preference) -> bool:
    assigner = each.assigner or ""
    return (
        wanted.type in ("", each.type)
        and wanted.assigner_contains in assigner
        and wanted.assigner_equals in ("", assigner)
    )


def _first(all_of_them: Iterable[Identifier], kind: str) -> Identifier | None:
    return next((each for each in all_of_them if each.type == kind), None)


def _bare(value: str) -> str:
    return value.replace("-", "").replace(" ", "")
