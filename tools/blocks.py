"""The generated parts of this repository's pages: where each belongs, and what makes it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bandwise.errors import UsageError
from bandwise.files.atomic import write_text
from tools.advice import advice_json
from tools.chart import evidence_svg
from tools.diversity import read_diversity
from tools.evidence import evidence_markdown, natural_markdown, readme_markdown, summary_markdown
from tools.expected import expected_json
from tools.published import published_markdown
from tools.recorded import read_recorded
from tools.sets import sets_markdown
from tools.why import counts_svg, disagreement_svg, why_markdown

ROOT = Path(__file__).parents[1]
DIVERSITY = "diversity"
"""Folder of compared branches, in that of the recorded results."""


@dataclass(frozen=True, slots=True)
class Block:
    """One generated part of a page, or a whole file."""

    path: str
    """The file, from the root of the repository."""
    mark: str
    """It belongs between `<!-- mark -->` and `<!-- /mark -->`; empty where it is the whole file."""
    make: Callable[[Path], str]
    """From the folder of the recorded results to the text."""

    @property
    def _marks(self) -> tuple[str, str]:
        return f"<!-- {self.mark} -->", f"<!-- /{self.mark} -->"

    def written(self, root: Path = ROOT) -> str:
        """Return the text that the page holds now."""
        content = (root / self.path).read_text(encoding="utf-8")
        return _parted(root / self.path, content, self._marks)[1] if self.mark else content

    def write(self, text: str, root: Path = ROOT) -> None:
        """Replace it."""
        if self.mark:
            update_between_marks(root / self.path, text, self._marks)
        else:
            write_text(root / self.path, text)


BLOCKS = {
    "readme": Block("README.md", "results", lambda folder: readme_markdown(read_recorded(folder))),
    "natural": Block("docs/evidence.md", "natural", lambda folder: natural_markdown(read_recorded(folder))),
    "why": Block(
        "docs/why.md", "why", lambda folder: why_markdown(read_recorded(folder), read_diversity(folder / DIVERSITY))
    ),
    "counts": Block("docs/branches.svg", "", lambda folder: counts_svg(read_diversity(folder / DIVERSITY))),
    "disagreement": Block(
        "docs/disagreement.svg", "", lambda folder: disagreement_svg(read_diversity(folder / DIVERSITY))
    ),
    "summary": Block("docs/evidence.md", "main", lambda folder: summary_markdown(read_recorded(folder))),
    "evidence": Block("docs/evidence.md", "results", lambda folder: evidence_markdown(read_recorded(folder))),
    "chart": Block("docs/accuracy.svg", "", lambda folder: evidence_svg(read_recorded(folder))),
    "expected": Block("src/bandwise/recipes/measured.json", "", lambda folder: expected_json(read_recorded(folder))),
    "advice": Block("src/bandwise/recipes/compared.json", "", lambda folder: advice_json(read_recorded(folder))),
    "seed": Block("docs/recipes.md", "seed", lambda folder: published_markdown(read_recorded(folder, crops=(1, 10)))),
    "sets": Block("docs/recipes.md", "sets", lambda folder: sets_markdown()),
}


def update_between_marks(path: Path, text: str, marks: tuple[str, str]) -> None:
    """Replace what is between two marks of a Markdown file.

    Raises:
        UsageError: there is no such file, it is no text, or the marks are not there.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is no Markdown file that is there; name one that has {' ... '.join(marks)}"
        ) from error
    before, _, after = _parted(path, content, marks)
    write_text(path, f"{before}{text}{after}")


def _parted(path: Path, content: str, marks: tuple[str, str]) -> tuple[str, str, str]:
    """Return what comes before a block, the block, and what comes after it; the marks are outside of the block."""
    begin, end = f"{marks[0]}\n", marks[1]
    before, found, rest = content.partition(begin)
    block, closed, after = rest.partition(end)
    if not found or not closed:
        raise UsageError(f"{path} has no {marks[0]} ... {end}; put them where the table belongs")
    return before + begin, block, end + after
