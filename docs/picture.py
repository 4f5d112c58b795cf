"""Draw docs/images/demo.svg: what `fi-fhir demo` leaves on a terminal (`python docs/picture.py`).

Run by hand: the figures differ from one run to the next.
"""

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

TARGET = Path(__file__).resolve().parent / "images" / "demo.svg"
COLUMNS = 84
CURSOR = r"\x1b\[\?25[lh]"
REDRAW = r"(?:\r?\x1b\[2K|\x1b\[1A)+"  # rich goes up over the picture before it draws the next one
FONTS = r"@font-face \{\{.*?\}\}\s*"  # the picture loads nothing from anywhere


def main() -> None:
    """The picture is the last state of one demo."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi("\033[1m$ fi-fhir demo\033[0m\n" + screen(played())))
    form = re.sub(FONTS, "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    TARGET.parent.mkdir(exist_ok=True)
    console.save_svg(str(TARGET), title="fi-fhir", code_format=form, unique_id="demo")


def played() -> str:
    """Return everything the demo writes to a terminal."""
    ours, theirs = pty.openpty()
    environ = os.environ | {"COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    words = [sys.executable, "-m", "fifhir", "demo"]
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, env=environ) as demo:  # noqa: S603
        os.close(theirs)
        pieces = []
        while piece := _read(ours):
            pieces.append(piece)
    if demo.returncode != 0:
        sys.exit("the demo failed")
    return b"".join(pieces).decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # EIO: the other side has closed it
        return b""


def screen(written: str) -> str:
    """Return what is left on the screen after all redrawing."""
    frames = re.split(REDRAW, re.sub(CURSOR, "", written))
    return frames[-1].replace("\r\n", "\n").strip("\n")


if __name__ == "__main__":
    main()
