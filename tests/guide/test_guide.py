"""Every row of the v2-to-FHIR guide that applies comes true, each in a message of its own."""

import pytest

from tests.guide.probe import Row, answered, left_out, omitted, rows, unconditional
from tests.guide.report import citations

APPLICABLE = [row for row in unconditional() if not omitted(row)]


@pytest.mark.parametrize("row", APPLICABLE, ids=lambda row: str(row.cited))
def test_a_field_is_where_the_guide_says(row: Row) -> None:
    assert answered(row)


def test_every_citation_names_a_row_of_the_guide() -> None:
    known = {row.cited for row in rows()}
    assert set(citations()) <= known
    for cited in left_out():
        assert any(f"{row} ".startswith(f"{cited} ") for row in known), cited
