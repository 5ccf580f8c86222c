"""A recipe: a full configuration with its command, its cost and what to expect of it."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bandwise.config import RunConfig

if TYPE_CHECKING:
    from bandwise.recipes.published import PublishedFigures

NOT_MEASURED = "not measured"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One named experiment."""

    config: RunConfig
    summary: str
    """One sentence: what it is."""
    cost: str = NOT_MEASURED
    """How long it took and on what; the catalog takes it from recorded results where there are some."""
    expected: str = NOT_MEASURED
    """The result it gave, with the number of seeds and images; from recorded results, too."""
    published: "PublishedFigures | None" = None
    """What was published for this row; None where nothing was."""
    unconfirmed: tuple[str, ...] = ()
    """What the logs and the code of the published work do not confirm about those figures, a sentence each."""
    full_image: str = ""
    """Name of the row of the same family on the whole image; empty where `catalog.full_image_of` can find it."""

    @property
    def name(self) -> str:
        """The name of the configuration is the name of the recipe."""
        return self.config.name

    @property
    def command(self) -> str:
        """The command that runs it."""
        return f"bandwise run {self.name} --out runs/{self.name}"


def changed(config: RunConfig, **values: Any) -> RunConfig:
    """Return a configuration with other values; those of a section are given as a dict: `split={"stride": 4}`."""
    return replace(
        config,
        **{
            key: replace(getattr(config, key), **value) if isinstance(value, dict) else value
            for key, value in values.items()
        },
    )
