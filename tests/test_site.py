"""The pages of the documentation: nothing out of date, and no link that leads nowhere."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ZENSICAL = Path(sys.executable).with_name("zensical")


def run(*words: str, folder: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False
    )


def test_a_stale_reference_is_found(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    assert run("docs/generate.py", "--check", folder=tmp_path).returncode == 0
    names = ("cli.md", "metrics.md", "configuration.md", "events.md", "workflows.md")
    for name in names:
        page = tmp_path / "docs" / name
        told, mark, made = page.read_text().partition("<!-- made:")
        page.write_text(told + mark + made.replace("| `", "| `old_", 1))
    answer = run("docs/generate.py", "--check", folder=tmp_path)
    assert answer.returncode == 1
    assert [name for name in names if name not in answer.stderr] == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (tmp_path / "README.md").write_text(
        "# Here\n[a](docs/nowhere.md) [b](docs/metrics.md#no-such-heading)\n"
    )
    told = run("docs/site.py", "--check", folder=tmp_path)
    assert told.returncode == 1
    assert "README.md: there is no docs/nowhere.md" in told.stderr
    assert "README.md: docs/metrics.md has no heading #no-such-heading" in told.stderr


def test_every_link_of_the_pages_leads_somewhere() -> None:
    told = run("docs/site.py", "--check")
    assert (told.returncode, told.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.skipif(not ZENSICAL.exists(), reason="there is no zensical: make site installs it")
def test_the_site_is_built_and_every_link_of_it_leads_somewhere() -> None:
    told = run("docs/site.py")
    assert told.returncode == 0, told.stderr
    assert (ROOT / "build/site/metrics.html").exists()
