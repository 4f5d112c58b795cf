"""The rows of the v2-to-FHIR guide come true, each in a message of its own."""

from tests.guide.probe import answered, omitted, rows, unconditional
from tests.guide.report import citations


def test_every_unconditional_row_of_the_guide_comes_true_or_says_why_not() -> None:
    missing = [row.cited for row in unconditional() if not omitted(row) and not answered(row)]
    assert missing == []


def test_every_citation_names_a_row_of_the_guide() -> None:
    assert set(citations()) <= {row.cited for row in rows()}
