"""The content of a page as Markdown, for terminals, reviews and repositories; pictures stay in the HTML."""

from bandwise.report.page import Fold, Page, Section
from bandwise.report.tables import escape_markdown, to_markdown


def page_to_markdown(page: Page) -> str:
    """Write a page as Markdown."""
    parts = [f"# {escape_markdown(page.title)}", escape_markdown(page.subtitle)]
    if page.statements:
        parts.append("\n".join(f"- {escape_markdown(statement.text)}" for statement in page.statements))
    for section in page.sections:
        parts += _section(section)
    parts.append(escape_markdown(page.footer))
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> list[str]:
    content = [escape_markdown(text) for text in section.paragraphs]
    content += [to_markdown(table).rstrip("\n") for table in section.tables]
    for fold in section.folds:
        content += _fold(fold)
    # A section of pictures alone has nothing to say here.
    return [f"## {escape_markdown(section.title)}", *content] if content else []


def _fold(fold: Fold) -> list[str]:
    if fold.table is not None:
        return [to_markdown(fold.table).rstrip("\n")]
    indented = "\n".join(f"    {line}" for line in fold.text.splitlines())
    return [f"### {escape_markdown(fold.title)}", indented]
