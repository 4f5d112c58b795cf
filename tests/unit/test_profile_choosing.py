"""Which profile reads a message, and that every profile named is there."""

from pathlib import Path

import pytest

from fifhir import config
from fifhir.errors import ConfigError
from fifhir.profile import DEFAULT, Profile
from fifhir.profile.choosing import Profiles, Rule
from fifhir.profile.config import SourceProfile
from fifhir.profile.loading import load_all

KNOWN = {name: Profile(SourceProfile(id=name, name=name)) for name in ("lab", "epic", "north")}
RULES = (
    Rule(profile="north", application="EPIC", facility="NORTH"),
    Rule(profile="lab", source="lab"),
    Rule(profile="epic", application="EPIC"),
)
PROFILES = Profiles(KNOWN, RULES)


def message(application: str, facility: str = "") -> bytes:
    return f"MSH|^~\\&|{application}|{facility}|||20260701||ADT^A01|1|P|2.5\r".encode()


@pytest.mark.parametrize(
    ("source", "raw", "wanted"),
    [
        ("any", message("EPIC", "NORTH"), "north"),
        ("any", message("EPIC^1.2.3^ISO", "NORTH"), "north"),
        ("any", message("EPIC"), "epic"),
        ("any", message("EPICS"), "default"),
        ("lab", message("EPIC", "NORTH"), "north"),
        ("lab", message("EPIC"), "lab"),
        ("any", b"\r\n\x0b" + message("EPIC"), "epic"),
        ("any", message("EPIC").decode().encode("utf-16"), "epic"),
        ("any", message("EPIC").replace(b"|", b"!"), "epic"),
        ("any", b"MSH|^~\\&|EPIC", "default"),
        ("any", b"", "default"),
    ],
)
def test_the_first_rule_that_fits_chooses(source: str, raw: bytes, wanted: str) -> None:
    assert PROFILES.choice(source).of(raw).id == wanted


def test_a_profile_asked_for_goes_before_all_rules() -> None:
    assert PROFILES.choice("lab", "north").of(message("EPIC")).id == "north"
    with pytest.raises(KeyError):
        PROFILES.choice("lab", "south")


def test_what_no_rule_fits_has_the_default() -> None:
    assert Profiles().choice("any").profile is DEFAULT
    assert Profiles(KNOWN, default="lab").choice("any").profile.id == "lab"


def test_every_profile_named_has_to_be_there() -> None:
    with pytest.raises(ConfigError) as told:
        Profiles(KNOWN, (Rule(profile="labs", source="x"),), "norht")
    assert [str(finding) for finding in told.value.findings] == [
        "profiles.default: no such profile 'norht', did you mean 'north'?",
        "profiles.rules[0].profile: no such profile 'labs', did you mean 'lab'?",
    ]


def test_rules_come_from_a_file_or_a_variable(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("profiles:\n  rules:\n    - {source: lab, profile: lab}\n")
    assert config.load(str(file), {}, {}).profiles.rules == (Rule(source="lab", profile="lab"),)
    variable = {"FI_FHIR_PROFILES_RULES": "[{application: EPIC, profile: epic}]"}
    settings = config.load(str(file), variable, {})
    assert settings.profiles.rules == (Rule(application="EPIC", profile="epic"),)


@pytest.mark.parametrize("text", ["[{sauce: lab, profile: lab}]", "[{profile: lab}]", "[", "lab"])
def test_wrong_rules_in_a_variable_are_told_with_its_name(text: str) -> None:
    with pytest.raises(ConfigError) as told:
        config.load(None, {"FI_FHIR_PROFILES_RULES": text}, {})
    assert told.value.findings[0].place.startswith("FI_FHIR_PROFILES_RULES")


def test_all_faults_of_a_folder_are_told_at_once(tmp_path: Path) -> None:
    good = "source_profile: {id: one, name: One}"
    (tmp_path / "a.yaml").write_text(good)
    (tmp_path / "b.yml").write_text(good)
    (tmp_path / "c.yaml").write_text("source_profile: {id: three}")
    (tmp_path / "d.yaml").write_text(
        "source_profile: {id: four, name: Four, terminology: {mappings: "
        "[{source_system: L, target_system: http://loinc.org, file: none.csv}]}}"
    )
    (tmp_path / "notes.txt").write_text("not a profile")
    with pytest.raises(ConfigError) as told:
        load_all(str(tmp_path))
    assert [str(finding).removeprefix(f"{tmp_path}/") for finding in told.value.findings] == [
        "b.yml: another file has the profile 'one' already",
        "c.yaml:1:17: missing field 'name'",
        "none.csv: no such file or directory",
    ]


def test_a_folder_without_profiles_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no profile"):
        load_all(str(tmp_path))
