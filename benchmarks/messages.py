"""The three messages everything is measured on. Invented: no person, place or number is real.

ADT  an admission of everyday size: 9 segments, about 140 fields, 1.2 KB.
ORU  a laboratory report with 30 results in three panels, 4.3 KB.
MDM  a document of 200 KB, nearly all of it one base64 value in one OBX-5.
"""

import base64
import hashlib
from typing import NamedTuple


class Sample(NamedTuple):
    """A message and eight values a router would look at, with where they are."""

    name: str
    raw: bytes
    wanted: dict[str, str]


ADT = b"\r".join(
    (
        b"MSH|^~\\&|REGSYS|NORTHFIELD|INTENGINE|NORTHFIELD|20260914083015.123-0600||ADT^A01^ADT_A01"
        b"|NF00048213|P|2.5.1|||AL|NE|USA|ASCII",
        b"EVN|A01|20260914083010-0600|||RCLERK7^Tarn^Odile^^^^^^NORTHFIELD|20260914081500-0600",
        b"PID|1||70031849^^^NORTHFIELD&2.16.840.1.113883.19.5&ISO^MR~900-55-0147^^^SSA^SS"
        b"~D4410927^^^ND^DL||Winterbourne^Isolde^Maren^^Ms.^^L|Ashgrove|19710325|F|"
        b"|2106-3^White^HL70005|418 Larkspur Lane^Apt 6^Fallowmere^ND^58001^USA^H||"
        b"^PRN^PH^^1^701^5550143~^NET^Internet^isolde@mail.example|"
        b"|eng|M|LUT|A100200300^^^NORTHFIELD^AN|||||Fallowmere ND|N|1",
        b"NK1|1|Winterbourne^Alaric^J|SPO^Spouse^HL70063|418 Larkspur Lane^Apt 6^Fallowmere^ND"
        b"^58001|^PRN^PH^^1^701^5550144||EC",
        b"PV1|1|I|4E^412^B^NORTHFIELD^^^^4|E|||1990000017^Quillfeather^Bram^T^^Dr.^MD"
        b"|1990000025^Sandoval^Perpetua^^^Dr.|1990000033^Okonjo^Lysander|MED||||7|||"
        b"1990000017^Quillfeather^Bram^T|IP|V2026091400412^^^NORTHFIELD^VN|BCX|||||||||||||||||||"
        b"|NF||A||20260914081500-0600",
        b"AL1|1|DA|70618^Penicillin^RXNORM|SV|Hives|20040611",
        b"AL1|2|FA|91935009^Peanut^SCT|MO|Swelling",
        b"DG1|1||J18.9^Pneumonia, unspecified organism^I10||20260914|A",
        b"IN1|1|PPO01^Prairie Choice|4471|Prairie Mutual \\T\\ Life||||GRP5521||||20260101|||PPO"
        b"|Winterbourne^Isolde",
        b"",
    )
)

_PANELS = (
    ("58410-2^CBC panel^LN^CBC^Blood count^L", 0, 12),
    ("24323-8^CMP panel^LN^CMP^Metabolic panel^L", 12, 26),
    ("57698-3^Lipid panel^LN^LIPID^Lipids^L", 26, 30),
)

_RESULTS = """\
6690-2^Leukocytes^LN|7.4|10*3/uL|4.0-11.0|
789-8^Erythrocytes^LN|4.61|10*6/uL|4.10-5.30|
718-7^Hemoglobin^LN|11.2|g/dL|12.0-15.5|L
4544-3^Hematocrit^LN|34.1|%|36.0-46.0|L
787-2^MCV^LN|88.3|fL|80.0-100.0|
785-6^MCH^LN|29.4|pg|27.0-33.0|
786-4^MCHC^LN|33.2|g/dL|32.0-36.0|
777-3^Platelets^LN|241|10*3/uL|150-400|
788-0^RDW^LN|13.6|%|11.5-14.5|
770-8^Neutrophils^LN|62.5|%|40.0-74.0|
736-9^Lymphocytes^LN|27.1|%|19.0-48.0|
713-8^Eosinophils^LN|2.2|%|0.0-7.0|
2345-7^Glucose^LN|182|mg/dL|70-99|H
3094-0^Urea nitrogen^LN|14|mg/dL|7-20|
2160-0^Creatinine^LN|0.88|mg/dL|0.50-1.10|
2951-2^Sodium^LN|139|mmol/L|136-145|
2823-3^Potassium^LN|6.3|mmol/L|3.5-5.1|HH
2075-0^Chloride^LN|103|mmol/L|98-107|
2028-9^Carbon dioxide^LN|24|mmol/L|21-32|
17861-6^Calcium^LN|9.3|mg/dL|8.5-10.2|
2885-2^Protein^LN|7.0|g/dL|6.0-8.3|
1751-7^Albumin^LN|4.2|g/dL|3.5-5.0|
1975-2^Bilirubin^LN|0.6|mg/dL|0.2-1.2|
6768-6^Alk phosphatase^LN|71|U/L|38-126|
1920-8^AST^LN|22|U/L|10-40|
1742-6^ALT^LN|25|U/L|7-56|
2093-3^Cholesterol^LN|212|mg/dL|<200|H
2571-8^Triglyceride^LN|164|mg/dL|<150|H
2085-9^HDL cholesterol^LN|47|mg/dL|>40|
13457-7^LDL cholesterol^LN|132|mg/dL|<100|H
""".splitlines()

_DONE = "20260914093000-0600"


def _result(number: int, row: str) -> str:
    code, value, unit, expected, flag = row.split("|")
    return (
        f"OBX|{number}|NM|{code}||{value}|{unit}^^UCUM|{expected}|{flag or 'N'}|||F|||{_DONE}"
        f"||1881^Varga^Edda^^^^^^NORTHFIELD|A7"
    )


def _panel(number: int, code: str, first: int, last: int) -> list[str]:
    order = (
        f"OBR|{number}|PL7741{number}^REGSYS|FL9930{number}^LABSYS|{code}|||20260914084500-0600"
        f"|||||||||1990000017^Quillfeather^Bram^T||||||{_DONE}||LAB|F"
    )
    return [order, *(_result(n + 1, row) for n, row in enumerate(_RESULTS) if first <= n < last)]


def _report() -> bytes:
    lines = [
        "MSH|^~\\&|LABSYS|NORTHFIELD|INTENGINE|NORTHFIELD|20260914093105-0600||ORU^R01^ORU_R01"
        "|NFL0091177|P|2.5.1",
        "PID|1||70031849^^^NORTHFIELD^MR||Winterbourne^Isolde^Maren||19710325|F|||418 Larkspur Lane"
        "^Apt 6^Fallowmere^ND^58001",
        "PV1|1|I|4E^412^B^NORTHFIELD||||1990000017^Quillfeather^Bram^T",
    ]
    for number, (code, first, last) in enumerate(_PANELS, 1):
        lines += _panel(number, code, first, last)
    return "\r".join([*lines, ""]).encode()


def _document(size: int) -> bytes:
    """`size` characters of base64, the same each time and as incompressible as a scanned page."""
    blocks = (hashlib.sha256(b"page %d" % n).digest() for n in range(size // 32 + 1))
    return base64.b64encode(b"".join(blocks))[:size]


MDM = b"\r".join(
    (
        b"MSH|^~\\&|DOCSYS|NORTHFIELD|INTENGINE|NORTHFIELD|20260914101500-0600||MDM^T02^MDM_T02"
        b"|NFD0007715|P|2.5.1",
        b"EVN|T02|20260914101459-0600",
        b"PID|1||70031849^^^NORTHFIELD^MR||Winterbourne^Isolde^Maren||19710325|F",
        b"PV1|1|I|4E^412^B^NORTHFIELD||||1990000017^Quillfeather^Bram^T",
        b"TXA|1|DS|AP|20260914100000-0600|1990000017^Quillfeather^Bram^T||20260914101200-0600|||||"
        b"DOC5512093^DOCSYS|||||LA||AV",
        b"OBX|1|ED|18842-5^Discharge summary^LN||DOCSYS^Application^PDF^Base64^"
        + _document(200_400)
        + b"||||||F",
        b"",
    )
)

_PERSON = {
    "PID-3.1": "70031849",
    "PID-5.1": "Winterbourne",
    "PID-5.2": "Isolde",
    "PID-7": "19710325",
    "PID-8": "F",
    "PV1-2": "I",
    "PV1-3.1": "4E",
}

SAMPLES = (
    Sample("ADT", ADT, {"MSH-10": "NF00048213", **_PERSON}),
    Sample("ORU", _report(), {"MSH-10": "NFL0091177", **_PERSON}),
    Sample("MDM", MDM, {"MSH-10": "NFD0007715", **_PERSON}),
)
