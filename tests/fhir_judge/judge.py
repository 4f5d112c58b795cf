"""`make fhir-judge`: HAPI's validator over every bundle of the corpus, with US Core 6.1.0.

It is the strictest judge: structure, terminology, invariants and references, each resource by the
profiles it claims. An error counts unless `explained.csv` says why it stays. FHIR_JUDGE_EVERY=10
lets it see every tenth bundle. Status 1 with errors, 77 where it could not sit; it says why.
"""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from fifhir import batch
from fifhir.errors import MessageError
from fifhir.fhir.bundle import to_bundle
from fifhir.intake import Feed, read

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIBRARIES = ROOT / "build" / "fhir-judge"
FETCH_SECONDS = 900
NOT_RUN = 77  # as automake has it: .ci/run lists it among what was not run
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PLACE = re.compile(r"Bundle\.entry\[\d+\]\.resource/?|\[\d+\]|\*/?|/")


class Missing(Exception):
    """What the judge lacks to sit; the text says it."""


class Finding(NamedTuple):
    """One message of the validator, without what only tells two bundles apart."""

    severity: str
    message: str
    place: str
    text: str


class Explained(NamedTuple):
    """Errors that stay, by patterns of their parts, and why."""

    message: str
    place: str
    text: str
    reason: str

    def covers(self, finding: Finding) -> bool:
        """Whether a finding is one of them."""
        return all(
            re.search(pattern, said) for pattern, said in zip(self[:3], finding[1:], strict=True)
        )


def shared(name: str, variable: str) -> Path:
    """A folder beside the checkout, or where a variable says."""
    place = Path(os.environ.get(variable) or ROOT.parent / "shared" / name)
    if not place.is_dir():
        raise Missing(f"there is no {name} beside the checkout, and {variable} names none")
    return place


def libraries() -> str:
    """The class path of HAPI's validator, fetched once for each change of pom.xml."""
    mark = LIBRARIES / ".fetched"
    pom = HERE / "pom.xml"
    if not mark.exists() or mark.stat().st_mtime < pom.stat().st_mtime:
        shutil.rmtree(LIBRARIES, ignore_errors=True)
        goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
        command = ["mvn", "-q", "-B", "-f", str(pom), goal, f"-DoutputDirectory={LIBRARIES}"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=FETCH_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise Missing(f"Maven fetched no libraries within {FETCH_SECONDS} s") from None
        if done.returncode:
            raise Missing(f"Maven could not fetch HAPI's validator: {done.stdout[:500].strip()}")
        mark.touch()
    return f"{LIBRARIES}/*"


def tools() -> None:
    """Java 17 and Maven are there."""
    for name in ("mvn", "java"):
        if not shutil.which(name):
            raise Missing(
                f"there is no {name} (Debian, Ubuntu: apt-get install maven openjdk-17-jdk)"
            )
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'"(\d+)', said)
    if not version or int(version[1]) < 17:
        raise Missing("HAPI's validator needs Java 17 or newer")


def bundles(corpus: Path) -> Iterator[tuple[str, str]]:
    """The bundle of every message of the corpus that FHIR can be told anything of."""
    with (corpus / "MANIFEST.tsv").open(newline="") as lines:
        listed = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    for row in listed:
        raws = batch.split((corpus / "messages" / row["file"]).read_bytes())
        for number, raw in enumerate(raws):
            try:
                bundle = to_bundle(msgspec.to_builtins(read(raw, Feed()))).bundle
            except (MessageError, ValueError):
                continue
            yield f"{row['file']}#{number}", json.dumps(bundle)


def judge(given: Path) -> Iterator[tuple[str, Finding | None]]:
    """What the validator says of each bundle of a file; None once a bundle has been judged."""
    definitions = shared("us-core/6.1.0", "FIFHIR_US_CORE")
    command = ["java", "-Xmx3g", "-cp", libraries(), str(HERE / "Judge.java"), str(definitions)]
    with (
        given.open("rb") as lines,
        subprocess.Popen(command, stdin=lines, stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout
        for line in process.stdout:
            name, severity, *rest = line.rstrip("\n").split("\t")
            yield name, _finding(severity, *rest) if rest else None


def _finding(severity: str, message: str, place: str, text: str) -> Finding:
    return Finding(severity, message, _PLACE.sub("", _UUID.sub("", place)), _UUID.sub("ID", text))


def explained() -> list[Explained]:
    """The table of errors that stay."""
    with (HERE / "explained.csv").open(newline="") as lines:
        return [Explained(**row) for row in csv.DictReader(lines)]


def main() -> int:
    """The judgment is on stdout."""
    try:
        tools()
        return _sit(shared("corpus", "FIFHIR_CORPUS"))
    except Missing as lack:
        print(f"!!! NOT RUN: the third judge of our FHIR cannot sit: {lack}", file=sys.stderr)
        return NOT_RUN


def _sit(corpus: Path) -> int:
    errors: Counter[Finding] = Counter()
    severities: Counter[str] = Counter()
    given: list[str] = []
    judged: set[str] = set()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        every = int(os.environ.get("FHIR_JUDGE_EVERY", "1"))
        for name, text in islice(bundles(corpus), 0, None, every):
            given.append(name)
            file.write(f"{name}\t{text}\n")
        file.flush()
        for name, finding in judge(Path(file.name)):
            if finding is None:
                judged.add(name)
                continue
            severities[finding.severity] += 1
            if finding.severity in {"error", "fatal"}:
                errors[finding] += 1
    unjudged = len(set(given) - judged)
    left = _tell(errors)
    told = ", ".join(f"{count} {severity}" for severity, count in sorted(severities.items()))
    print(f"{len(judged)} bundles judged by HAPI with US Core 6.1.0: {told}")
    print(f"{left} errors unexplained")
    if unjudged:
        print(f"!!! {unjudged} of {len(given)} bundles were not judged", file=sys.stderr)
    return int(bool(left or unjudged))


def _tell(errors: Counter[Finding]) -> int:
    """Errors by what they say, the unexplained first; how many of those there are."""
    table = explained()
    reasons = {
        each: next((entry.reason for entry in table if entry.covers(each)), "") for each in errors
    }
    for finding, count in sorted(
        errors.items(), key=lambda item: (bool(reasons[item[0]]), -item[1])
    ):
        why = f" (stays: {reasons[finding]})" if reasons[finding] else ""
        print(f"{count:6} {finding.message} {finding.place}: {finding.text[:300]}{why}")
    return sum(count for finding, count in errors.items() if not reasons[finding])


if __name__ == "__main__":
    sys.exit(main())
