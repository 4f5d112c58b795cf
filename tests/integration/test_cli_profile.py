"""`fi-fhir profile` and `fi-fhir validate`, as a user calls them."""

import json
from pathlib import Path

import pytest

from tests.integration.test_cli import fi_fhir

ADT = (
    "MSH|^~\\&|A|B|||20260701||ADT^A01|1|P|2.3.1\rPID|1||M1^^^A^MR||TEAPOT^HAZEL\rZPD|why||secret\r"
)
EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "profiles").glob("*.yaml"))


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    folder = tmp_path / "samples"
    folder.mkdir()
    (folder / "a.hl7").write_text(ADT)
    (folder / "b.txt").write_text(ADT.replace("|B|", "|C|") * 2)
    (folder / "c.md").write_text("no sample")
    return folder


def test_every_example_passes_lint() -> None:
    assert len(EXAMPLES) == 12
    for example in EXAMPLES:
        lenient = ["--lenient"] if example.stem == "original" else []
        done = fi_fhir("profile", "lint", example, *lenient)
        if lenient:
            assert done.stderr.count("warning: tolerate.") == 2
            assert done.returncode == 0
            continue
        assert (done.returncode, done.stderr) == (0, "")
        assert f"  id: {example.stem}\n" in example.read_text()


def test_what_is_inferred_fits_its_samples(sample: Path, tmp_path: Path) -> None:
    out = tmp_path / "inferred.yaml"
    done = fi_fhir("profile", "infer", sample, "--id", "mine", "--out", out)
    assert (done.returncode, done.stdout) == (0, "")
    text = out.read_text()
    assert '    default_version: "2.3.1"  # MSH-12: 2.3.1 3\n' in text
    assert "      missing_segments: [PV1, PD1, OBR, NK1, GT1]" in text
    assert "      ZPD: []  # 3 segments; fields with values: 1, 3\n" in text
    assert "TEAPOT" not in text
    assert "secret" not in text
    assert fi_fhir("validate", "profile", out).returncode == 0
    done = fi_fhir("profile", "lint", out, "--sample", sample)
    assert done.returncode == 1
    assert "warning: ZPD stands in samples 3 times, unmapped" in done.stderr
    assert fi_fhir("profile", "lint", out, "--sample", sample, "--lenient").returncode == 0


def test_lint_tells_drift_and_gaps_as_json(sample: Path, tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(
        "source_profile:\n  id: p\n  name: P\n  hl7v2:\n    default_version: '2.5'\n"
        "    timezone: UTC\n"
    )
    done = fi_fhir("profile", "lint", file, "--sample", sample, "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["ok"], told["errors"]) == (1, False, [])
    assert [each["text"] for each in told["warnings"]] == [
        "version is not given",
        "z_segments.mappings is not given",
        "ZPD stands in samples 3 times, unmapped",
        "hl7v2.encoding is not given",
        "tolerate.unknown_segments is true, so they go unnoticed",
        "tolerate.non_standard_delimiters is true, so they go unnoticed",
        "MSH-12 is 2.3.1 in 3 of 3",
    ]
    assert told["sample_stats"]["message_count"] == 3
    assert told["sample_stats"]["z_segments"] == {"ZPD": 3}


def test_a_faulty_profile_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("source_profile:\n  id: p\n  namee: P\n")
    for words, status in (("profile lint", 1), ("validate profile", 1), ("parse --profile", 78)):
        done = fi_fhir(*words.split(), file)
        assert done.returncode == status
        assert f"{file}:3:3: unknown field 'namee', did you mean 'name'?" in done.stderr


def test_profiles_are_listed_from_a_folder_or_the_settings(tmp_path: Path) -> None:
    done = fi_fhir("profile", "list", EXAMPLES[0].parent, "--json")
    assert [row["id"] for row in json.loads(done.stdout)] == [path.stem for path in EXAMPLES]
    done = fi_fhir("profile", "list", FI_FHIR_PROFILES_PATH=str(EXAMPLES[0]))
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["default", EXAMPLES[0].stem]


def test_findings_of_messages_are_told_with_their_place(tmp_path: Path) -> None:
    file = tmp_path / "m.hl7"
    bad = ADT.replace("PID|", "PIX|")
    file.write_text(ADT.replace("M1^^^A^MR", "M1^^^A^MR~123456789^^^^SS") + bad)
    profile = EXAMPLES[-1]
    assert profile.stem == "original"
    done = fi_fhir("validate", "message", file, "--profile", profile)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"{file}: message 1: PV1: warning MISSING_PV1: PV1 segment is missing",
        f"{file}: message 1: PID-3(2).1: warning INVALID_SSN_PATTERN: identifier is not a valid "
        "one of its type",
        f"{file}: message 2: PID: error missing_segment: PID segment not found",
    ]


def test_warnings_fail_unless_they_are_allowed(tmp_path: Path) -> None:
    file = tmp_path / "m.hl7"
    file.write_text(ADT)
    assert fi_fhir("validate", "message", file).returncode == 1
    done = fi_fhir("validate", "message", file, "--lenient")
    assert done.returncode == 0
    assert done.stdout.endswith("The message is valid against profile default.\n")
    assert fi_fhir("validate", "message", tmp_path / "none").returncode == 1


def test_a_wrong_count_is_told_and_no_message_lost(tmp_path: Path) -> None:
    message = "MSH|^~\\&|A|B|||20260701||ADT^A08|1|P|2.5\rPID|1||M1^^^A^MR||TEAPOT^HAZEL\r"
    file = tmp_path / "batch.hl7"
    file.write_text(f"FHS|^~\\&\rBHS|^~\\&\r{message}{message}BTS|3\rFTS|1\r")
    done = fi_fhir("parse", file)
    assert (done.returncode, done.stdout.count("\n")) == (0, 2)
    where = file.read_text().index("BTS")
    assert done.stderr == f"{file}: byte {where}: BTS-1 counts 3 messages, but 2 came\n"
    done = fi_fhir("validate", "message", file)
    assert done.returncode == 1
    found = "BTS-1: warning BATCH_COUNT: BTS-1 counts 3 messages, but 2 came"
    assert done.stdout.splitlines()[-1] == f"{file}: {found}"
