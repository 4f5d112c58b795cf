"""Build the documentation site in build/site from docs/ and README.md: `make site`.

Zensical makes the pages. Links of the Markdown that lead out of docs/ lead to the repository, and
when the pages are made every link within the site is followed: one that leads nowhere ends it with
status 1. `--check` follows the links of the Markdown alone, without building anything.
"""

import re
import shutil
import subprocess
import sys
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS, SOURCE, SITE = ROOT / "docs", ROOT / "build/site-source", ROOT / "build/site"
REPOSITORY = "https://gitlab.flexinfer.ai/libs/fi-fhir/-/blob/main/"
LINK = re.compile(r"(\]\()(?!https?:|#|mailto:)([^)\s#]+)(#[^)\s]+)?\)")
PAGES = {
    "Start": ("index.md", "getting-started.md"),
    "Use": (
        *(
            "events.md",
            "http.md",
            "mllp.md",
            "brokers.md",
            "workflows.md",
            "profiles.md",
            "fhir.md",
        ),
        "parser-decisions.md",
    ),
    "Run": (
        *("configuration.md", "operations.md", "RUNBOOK.md", "PRODUCTION-HARDENING.md", "store.md"),
        *("tuning.md", "scaling.md", "performance.md"),
    ),
    "Reference": ("cli.md", "metrics.md"),
}


def main() -> int:
    """The site is built and every link of it leads somewhere; else 1."""
    if "--check" in sys.argv:
        return told(loose_links())
    lay_out()
    (ROOT / "build/zensical.toml").write_text(configuration(), encoding="utf-8")
    words = [str(Path(sys.executable).with_name("zensical")), "build", "--clean"]
    subprocess.run(  # noqa: S603 - the one beside this Python
        [*words, "--config-file", "zensical.toml"], cwd=ROOT / "build", check=True
    )
    return told(broken_links())


def told(wrong: list[str]) -> int:
    """Return the status, after every fault was told."""
    for each in wrong:
        print(each, file=sys.stderr)
    return 1 if wrong else 0


def pages() -> list[Path]:
    """Return the Markdown that the site is made of."""
    return [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def loose_links() -> list[str]:
    """Return the links of the Markdown to files or headings that are not there."""
    wrong = []
    for page in pages():
        for _, path, heading in LINK.findall(page.read_text(encoding="utf-8")):
            target = page.parent / path
            if not target.exists():
                wrong.append(f"{page.name}: there is no {path}")
            elif heading and target.suffix == ".md" and heading[1:] not in headings(target):
                wrong.append(f"{page.name}: {path} has no heading {heading}")
    unlisted = {page.name for page in DOCS.glob("*.md")} - {
        each for row in PAGES.values() for each in row
    }
    return wrong + [f"docs/site.py: {name} is in no part of PAGES" for name in sorted(unlisted)]


def headings(page: Path) -> set[str]:
    """Return the names that headings of a page have in links."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    found = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in found}


def lay_out() -> None:
    """The pages are in build/site-source, with links as they are from there."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    SOURCE.mkdir(parents=True)
    for page in pages():
        name = "index.md" if page.parent == ROOT else page.name
        text = LINK.sub(partial(moved, page), page.read_text(encoding="utf-8"))
        (SOURCE / name).write_text(text, encoding="utf-8")
    for folder in ("images", "schemas"):
        shutil.copytree(DOCS / folder, SOURCE / folder)
    shutil.copy(DOCS / "site.css", SOURCE / "site.css")


def moved(page: Path, link: re.Match[str]) -> str:
    """Return a link of a page as it is in the site: within it, or to the repository."""
    target = (page.parent / link[2]).resolve()
    heading = link[3] or ""
    if target == ROOT / "README.md":
        return f"](index.md{heading})"
    if target.is_relative_to(DOCS):
        return f"]({target.relative_to(DOCS)}{heading})"
    return f"]({REPOSITORY}{target.relative_to(ROOT)}{heading})"


def configuration() -> str:
    """Return what Zensical is told."""
    parts = []
    for part, names in PAGES.items():
        inner = [
            f'{{ "{title(SOURCE / name)}" = "{name}" }}'
            for name in names
            if (SOURCE / name).exists()
        ]
        parts.append(f'  {{ "{part}" = [{", ".join(inner)}] }},')
    nav = "\n".join(parts)
    return f"""\
[project]
site_name = "fi-fhir"
site_description = "HL7 v2 in, semantic events out"
site_dir = "site"
docs_dir = "site-source"
repo_url = "{REPOSITORY.partition("/-/")[0]}"
use_directory_urls = false
extra_css = ["site.css"]
nav = [
{nav}
]

[project.theme]
font = false
features = ["navigation.sections", "navigation.top", "search.highlight", "content.code.copy"]

[[project.theme.palette]]
scheme = "default"
toggle.icon = "lucide/moon"
toggle.name = "Dark"

[[project.theme.palette]]
scheme = "slate"
toggle.icon = "lucide/sun"
toggle.name = "Light"

[project.markdown_extensions.toc]
permalink = true

[project.markdown_extensions.tables]

[project.markdown_extensions.pymdownx.highlight]

[project.markdown_extensions.pymdownx.superfences]

[project.markdown_extensions.pymdownx.tasklist]
"""


def title(page: Path) -> str:
    """Return what a page calls itself."""
    found = re.search(r"^# (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else page.stem


class Anchors(HTMLParser):
    """The links of a page, and what in it may be linked to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.names: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what this tag links to, and what it is called."""
        told = dict(attrs)
        for key in ("href", "src"):
            if value := told.get(key):
                self.links.add(value)
        if name := told.get("id"):
            self.names.add(name)


def broken_links() -> list[str]:
    """Return the links of the site to pages, pictures or headings that are not there."""
    made = {page: Anchors(page) for page in SITE.rglob("*.html")}
    wrong = []
    for page, anchors in made.items():
        if page.name == "404.html":
            continue
        for link in sorted(anchors.links):
            path, _, name = link.partition("#")
            if re.match(r"[a-z]+:|//|data:", link):
                continue
            target = (page.parent / path.partition("?")[0]).resolve() if path else page
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                wrong.append(f"{page.name}: {link} leads nowhere")
            elif name and target in made and name not in made[target].names:
                wrong.append(f"{page.name}: {link} has no such heading")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
