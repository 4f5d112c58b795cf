"""Templates in the manner of Go's text/template: text in, a renderer of documents out.

The subset, and what is done differently, stand in docs/workflows.md. Everything about a template
that can be wrong without a document is told by `compile`.
"""

from typing import Any

from fifhir.errors import TemplateError
from fifhir.template.escapes import Escape
from fifhir.template.parser import Output, Parser, Path, Write

__all__ = ["Escape", "Path", "Template", "compile"]

TEXT_LIMIT = 65_536  # characters


class Template:
    """A template, ready to be rendered any number of times.

    `uses` are the fields it reads, each with its column in the text.
    """

    __slots__ = ("_body", "is_constant", "text", "uses")

    def __init__(self, text: str, body: list[Write], uses: tuple[tuple[Path, int], ...]) -> None:
        self.text = text
        self.uses = uses
        self.is_constant = "{{" not in text  # it renders the same for every document
        self._body = body

    def render(self, document: dict[str, Any]) -> str:
        """The text for this document, its values escaped for their place. Raises TemplateFault."""
        if self.is_constant:
            return self.text
        output = Output()
        scope = (document, document, output)
        for write in self._body:
            write(scope)
        return "".join(output.parts)


def compile(text: str, escape: Escape = "none") -> Template:
    """The template that the text means, for a place with this escape. Raises TemplateError."""
    if len(text) > TEXT_LIMIT:
        raise TemplateError(1, f"longer than {TEXT_LIMIT} characters")
    parser = Parser(text, escape)
    return Template(text, parser.whole(), tuple(parser.uses))
