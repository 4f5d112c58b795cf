"""Codes in other systems, beside those that were sent."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from fifhir.errors import ConfigError, MessageError
from fifhir.event import encode
from fifhir.intake import Feed, read
from fifhir.profile.loading import load

MESSAGE = (
    b"MSH|^~\\&|LAB|HERE|||20260701||ORU^R01|1|P|2.5\rPID|1||M1||TEAPOT\rOBR|1||F1|GLU^Glucose^L\r"
    b"OBX|1|NM|GLU^Glucose^L||5\rOBX|2|NM|K^Potassium^L||4\rOBX|3|NM|GLU^^L^2345-7^^LN||5\r"
)
CODES = "source_code,target_code,target_display\nGLU,2345-7,Glucose SerPl\n,x,\nNA,,\n"
LOINC = {"system": "http://loinc.org", "code": "2345-7", "display": "Glucose SerPl"}


def event(folder: Path, more: str = "", codes: str = CODES) -> Any:
    (folder / "loinc.csv").write_text(codes)
    file = folder / "p.yaml"
    mapping = "{source_system: L, target_system: http://loinc.org, file: loinc.csv}"
    file.write_text(
        f"source_profile:\n  id: p\n  name: P\n  terminology: {{mappings: [{mapping}]{more}}}\n"
    )
    return msgspec.json.decode(encode(read(MESSAGE, Feed(profile=load(str(file))))))


def test_a_translation_stands_beside_what_was_sent(tmp_path: Path) -> None:
    told = event(tmp_path)
    sent = {"system": "L", "code": "GLU", "display": "Glucose"}
    assert told["orders"][0]["code"]["coding"] == [sent, LOINC]
    first, second, third = (each["test"]["code"]["coding"] for each in told["results"])
    assert first == [sent, LOINC]
    assert [each["code"] for each in second] == ["K"]
    assert [each["code"] for each in third] == ["GLU", "2345-7"]
    assert told["test"]["code"]["coding"] == first


def test_a_code_without_translation_is_a_warning_an_error_or_nothing(tmp_path: Path) -> None:
    (warning,) = event(tmp_path)["parse_warnings"]
    assert (warning["code"], warning["path"]) == ("UNMAPPED_CODE", "OBX(2)-3")
    assert "parse_warnings" not in event(tmp_path, ", unknown_code_behavior: pass")
    for strict in ("unknown_code_behavior: error", "strict_validation: true"):
        with pytest.raises(MessageError) as fault:
            event(tmp_path, f", {strict}")
        assert (fault.value.reason, fault.value.location) == ("unmapped_code", "OBX(2)-3")


@pytest.mark.parametrize("codes", ["a,b\n1,2\n", "", "source_code\nx\n"])
def test_a_table_without_its_columns_is_refused(tmp_path: Path, codes: str) -> None:
    with pytest.raises(ConfigError, match="has no column"):
        event(tmp_path, codes=codes)
