"""`make fhir-coverage`: how much of the v2-to-FHIR guide comes true, segment by segment.

An unconditional row counts when a message that values its field becomes a resource that says so
at the row's place (`probe.answered`); a conditional one when a row of tables/fhir cites it.
"""

import sys
from collections import Counter
from collections.abc import Container, Iterable, Iterator

from rich.box import ROUNDED
from rich.console import Console
from rich.table import Table

from fifhir import tables
from tests.guide.probe import Row, answered, omitted, rows, unconditional

HEADS = ("segment", "target", "met", "applicable", "conditional", "cited", "left out")
UNWRAPPED = 200  # columns where stdout is no terminal: each row is one line


def citations() -> Iterator[str]:
    """Every row of the guide that a row of tables/fhir says it keeps."""
    for row in (*tables.family_rows("fhir/elements"), *tables.rows("fhir/rules.csv")):
        yield from filter(None, (each.strip() for each in row["ig"].split(";")))


def counted(found: Iterable[Row], met: Container[Row]) -> dict[tuple[str, str], Counter[str]]:
    """For each map of the guide, what there is under each of HEADS."""
    cited, counts = set(citations()), dict[tuple[str, str], Counter[str]]()
    for row in found:
        count = counts.setdefault((row.source, row.target), Counter())
        if omitted(row):
            count["left out"] += 1
        elif row.condition:
            count["conditional"] += 1
            count["cited"] += row.cited in cited
        else:
            count["applicable"] += 1
            count["met"] += row in met
    return counts


def main() -> int:
    """The table, the rows left out and the rows not met are on stdout; 1 if any is not met."""
    found = [row for row in rows() if row.of_segment]
    asked = [row for row in unconditional() if not omitted(row)]
    met = {row for row in asked if answered(row)}
    console = Console(highlight=False, width=None if sys.stdout.isatty() else UNWRAPPED)
    console.print(_table(counted(found, met)))
    left = sorted({f"{row.cited}: {why}" for row in found if (why := omitted(row))})
    missing = [row.cited for row in asked if row not in met]
    for title, lines in (("left out on purpose", left), ("not met", missing)):
        console.print(f"\n{title}: {len(lines)}")
        for line in lines:
            console.print(f"  {line}", markup=False)
    return int(bool(missing))


def _table(counts: dict[tuple[str, str], Counter[str]]) -> Table:
    total = sum(counts.values(), Counter[str]())
    box = ROUNDED if sys.stdout.isatty() else None
    table = Table(title="rows of the HL7 v2-to-FHIR guide 1.0.0", title_justify="left", box=box)
    for head in HEADS:
        table.add_column(head, justify="left" if head in HEADS[:2] else "right")
    for names, count in [*sorted(counts.items()), (("all", ""), total)]:
        table.add_row(*names, *(str(count[head]) for head in HEADS[2:]))
    return table


if __name__ == "__main__":
    sys.exit(main())
