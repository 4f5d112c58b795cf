"""Do what the README tells a newcomer: `make run`, the line it prints, then every other command.

A ```sh block of README.md is a promise. The first one starts the daemon and stays running; the
others run in order beside it, each to its end, with the checkout as the working directory. Last
the supervisor gets TERM, and `make run` must have drained and ended with 0.
"""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
READY = "http://127.0.0.1:8080/ready"
STATUS = "http://127.0.0.1:9090/status"
ENVIRON = os.environ | {"PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"}


def main() -> None:
    """Walk; the first thing that is not as the README says ends the walk with a status of 1."""
    readme = (ROOT / "README.md").read_text()
    first, *others = re.findall(r"^```sh\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    with tempfile.TemporaryDirectory() as place, Path(place, "output").open("wb") as output:
        Path(place, ".curlrc").write_text("fail\n")  # a 4xx is not what the README promises
        ENVIRON["CURL_HOME"] = place
        daemon = subprocess.Popen(
            ["bash", "-c", first],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        printed = Path(output.name)
        try:
            wait_until_ready(daemon)
            answer = run(curl_line(printed.read_text()))
            assert json.loads(answer)["success"] is True, answer
            for block in others:
                run(block)
            drain(daemon)
        finally:
            if daemon.poll() is None:
                os.killpg(daemon.pid, signal.SIGKILL)
            print(printed.read_text(), flush=True)
    print(f"README: the daemon and {len(others)} blocks did as they say")


def wait_until_ready(daemon: "subprocess.Popen[bytes]") -> None:
    """Return when the daemon answers /ready after the demo has ended and serving has begun."""
    deadline = time.monotonic() + 200
    calm = 0
    while calm < 5:  # the demo's own daemon answers too, but not for a second after its end
        assert daemon.poll() is None, "make run ended early"
        assert time.monotonic() < deadline, "make run did not come to serve"
        time.sleep(0.5)
        try:
            with urllib.request.urlopen(READY, timeout=5) as answer:
                calm = calm + 1 if answer.status == 200 else 0
        except (urllib.error.URLError, ConnectionError):
            calm = 0


def curl_line(printed: str) -> str:
    """Return what the last advice on how to post a message says."""
    advice = re.findall(r"^ *(printf .*\n? *curl .*)$", printed, re.MULTILINE)
    assert advice, "make run printed no curl line"
    return str(advice[-1])


def run(block: str) -> str:
    """Run one block to its end and return what it printed."""
    print(f"--- {block.strip()}", flush=True)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=ROOT,
        env=ENVIRON,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"status {done.returncode}: {done.stderr}{done.stdout}"
    return done.stdout


def drain(daemon: "subprocess.Popen[bytes]") -> None:
    """Send TERM to the supervisor; `make run` must end with 0."""
    with urllib.request.urlopen(STATUS, timeout=5) as answer:
        supervisor = json.load(answer)["supervisor"]["pid"]
    os.kill(supervisor, signal.SIGTERM)
    status = daemon.wait(timeout=30)
    assert status == 0, f"make run ended with {status} after TERM"


if __name__ == "__main__":
    main()
