"""The Dockerfile, instruction by instruction, in Debian roots made by debootstrap.

There may be no container engine where tests run, so its RUN, COPY and ENV are carried out with
chroot: on Debian's own Python instead of the base image's, otherwise as written. Five minutes and
600 MB, so only with FIFHIR_IMAGE=1; FIFHIR_DEBIAN may name a root that debootstrap has made before.
"""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy/docker/Dockerfile"
SUITE = "bookworm"
MACHINE = (
    "etc/apt",
    "etc/resolv.conf",
    "etc/pip.conf",
    "etc/ssl/certs",
    "usr/local/share/ca-certificates",
)
NOBODY = "65532:65532"
WITH_PROC = """\
mount --make-rprivate / && mount -t proc proc "$1/proc" && shift && exec chroot "$@"
"""  # as every container has it
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as pairs of instruction and words; comments and line ends are gone."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(name, words) for name, _, words in (line.partition(" ") for line in lines) if name]


class Stage:
    """A root that instructions are carried out in."""

    def __init__(self, base: Path, folder: Path) -> None:
        self.folder = folder
        self.environ = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.at = "/"
        subprocess.run(["cp", "-a", base, folder], check=True)

    def command(self, script: str, who: str = "") -> list[str]:
        variables = [f"{name}={value}" for name, value in self.environ.items()]
        user = [f"--userspec={who}"] if who else []
        inside = f"cd {shlex.quote(self.at)} && {script}"
        root = [*user, str(self.folder), "env", "-i", *variables, "sh", "-c", inside]
        return ["unshare", "--mount", "sh", "-c", WITH_PROC, "sh", str(self.folder), *root]

    def run(self, script: str, who: str = "") -> str:
        done = subprocess.run(
            self.command(script, who), capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def copy(self, words: list[str], source: Path) -> None:
        *names, target = [word for word in words if not word.startswith("--")]
        into = self.folder / (target if target.startswith("/") else f"{self.at}/{target}").lstrip(
            "/"
        )
        for name in names:
            found = source / name.lstrip("/")
            if found.is_dir():
                shutil.copytree(found, into, symlinks=True, dirs_exist_ok=True)
            else:
                place = into / found.name if target.endswith("/") else into
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(found, place)

    def carry_out(self, name: str, words: str, stages: dict[str, "Stage"]) -> None:
        match name:
            case "RUN":
                self.run(words)
            case "WORKDIR":
                self.at = words
                (self.folder / words.lstrip("/")).mkdir(parents=True, exist_ok=True)
            case "ENV":
                for pair in shlex.split(words):
                    key, _, value = pair.partition("=")
                    self.environ[key] = value.replace("$PATH", self.environ["PATH"])
            case "COPY":
                given = words.split()
                source = re.search(r"--from=(\w+)", words)
                self.copy(given, stages[source[1]].folder if source else ROOT)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `FROM python:...-slim` stands for: a Debian with a python, reached like this machine."""
    if not os.environ.get("FIFHIR_IMAGE"):
        pytest.skip("NOT BUILT: five minutes and 600 MB; FIFHIR_IMAGE=1 builds the image's root")
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        pytest.skip("NOT BUILT: needs root and debootstrap (Debian: apt-get install debootstrap)")
    folder = tmp_path_factory.mktemp("image") / "base"
    if made := os.environ.get("FIFHIR_DEBIAN"):
        subprocess.run(["cp", "-a", made, folder], check=True)
    else:
        subprocess.run(["debootstrap", "--variant=minbase", SUITE, folder], check=True)
    for name in MACHINE:
        there = folder / name
        if Path("/", name).is_dir():
            shutil.rmtree(there, ignore_errors=True)
            shutil.copytree(f"/{name}", there, symlinks=True)
        elif Path("/", name).exists():
            shutil.copy(f"/{name}", there)
    stage = Stage(folder, folder.with_name("python"))
    stage.run(
        "apt-get update -q && apt-get install -qy --no-install-recommends "
        "python3 python3-venv python3-dev && ln -s /usr/bin/python3 /usr/local/bin/python"
    )
    return stage.folder


@pytest.fixture(scope="module")
def image(base: Path) -> Iterator[Stage]:
    """The last stage, with all that was done before it."""
    stages: dict[str, Stage] = {}
    pip = {name: text for name, text in os.environ.items() if name.startswith("PIP_")}
    for name, words in instructions():
        if name == "FROM":
            stage = stages.setdefault(
                words.partition(" AS ")[2] or "image",
                Stage(base, base.with_name(f"stage{len(stages)}")),
            )
            stage.environ |= pip
        else:
            stage.carry_out(name, words, stages)
    yield stages["image"]
    for each in stages.values():
        shutil.rmtree(each.folder, ignore_errors=True)


def test_the_image_has_what_is_called_in_it(image: Stage) -> None:
    assert "compiled" in image.run("fi-fhir version", NOBODY)
    assert image.run("command -v nc psql pg_dump").count("/") >= 3
    assert NOBODY in image.run("stat -c %u:%g /var/lib/fi-fhir")
    assert (
        image.run("find / -xdev -perm -4000 -newer /opt/fi-fhir/bin/python 2>/dev/null; true") == ""
    )
    for extra in ("cryptography", "jwt", "aiokafka", "nats", "opentelemetry.sdk", "aiosmtplib"):
        image.run(f"python -c 'import {extra}'", NOBODY)


def test_the_image_serves_as_nobody_and_its_health_check_passes(image: Stage) -> None:
    ports = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    port, operations = (sock.getsockname()[1] for sock in ports)
    for sock in ports:
        sock.close()
    (entry,) = [words for name, words in instructions() if name == "ENTRYPOINT"]
    (check,) = [words for name, words in instructions() if name == "HEALTHCHECK"]
    image.environ |= {"FI_FHIR_SERVER_PORT": str(port), "FI_FHIR_METRICS_PORT": str(operations)}
    assert entry == '["fi-fhir"]'
    daemon = subprocess.Popen(image.command("exec fi-fhir serve", NOBODY))
    try:
        ready = f"http://127.0.0.1:{port}/ready"
        end = time.monotonic() + 60
        while not _answers(ready):
            assert time.monotonic() < end
            time.sleep(0.2)
        words = check.partition("CMD ")[2].replace("8080", str(port))
        image.run(shlex.join(json.loads(words)), NOBODY)
    finally:
        daemon.terminate()
        assert daemon.wait(60) == 0


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - ours
            return bool(answer.status == 200)
    except OSError:
        return False
