"""The published tables of ImageNet with our columns beside them.

What was published comes from the recipes, what a row costs from its plan, what was measured from the recorded results.
One crop and ten crops never share a column, neither theirs nor ours.
"""

import functools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bandwise.launch.plan import Plan, Setting, make_plan
from bandwise.recipes.catalog import all_recipes, find_recipe
from bandwise.recipes.recipe import Recipe, facts_of
from bandwise.report.page import Table, escape_markdown, to_markdown
from bandwise.report.units import amount, seconds
from bandwise.runs.documents import Cost, Results
from tools.recorded import Recorded, seed_of, spread

NOT_RUN = "not run"
_MIB = 1 << 20
_NONE = "–"
# Class counts and reported images of the real data: ILSVRC 2012; fall11 and winter21 with 50 images a class.
_REAL = {
    "imagenet1k": ({1_000}, {50_000}),
    "imagenet21k": ({10_450, 11_221}, {522_500, 561_050}),
}

_PUBLISHED_HEAD = (
    "row",
    "published, 1 crop",
    "published, 10 crops",
    "published, crops not said",
    "quoted there",
    "size, published",
    "time, published",
)
_OWN_HEAD = (
    "parameters",
    "MiB",
    "GMACs, one",
    "GMACs, all",
    "activations MiB, one",
    "activations MiB, all",
    "data a node",
    "top-1, 1 crop",
    "top-1, 10 crops",
    "training, longest branch",
    "training, summed",
)


@dataclass(frozen=True, slots=True)
class Row:
    """A published row or a lean design, what it needs, and its results on the real data."""

    recipe: Recipe
    facts: Plan
    """Of its plan."""
    measured: list[Results]
    on_other_data: bool
    """Whether there are results on anything else than the real data; they are left out."""

    @property
    def dataset(self) -> str:
        """The data set whose table it is a row of."""
        return self.recipe.config.data.data


def published_rows(recorded: Recorded) -> list[Row]:
    """Return the rows of the published tables, each followed in its data set by the lean designs."""
    return [_row(recipe, recorded) for recipe in all_recipes().values() if recipe.config.data.source in _REAL]


def published_markdown(recorded: Recorded) -> str:
    """Return the tables and what is not confirmed about each published figure, as Markdown."""
    rows = published_rows(recorded)
    tables = [
        published_table(dataset, [row for row in rows if row.dataset == dataset])
        for dataset in dict.fromkeys(row.dataset for row in rows)
    ]
    known = [row.recipe for row in rows if row.recipe.published is not None]
    return "\n".join([*map(to_markdown, [*tables, _evidence(known)]), *map(_unconfirmed, known)])


def published_table(dataset: str, rows: Sequence[Row]) -> Table:
    """Lay out the rows of one data set."""
    note = (
        "Left: as published; a star is a target. Right: ours, one network in every column of a row. One: the largest "
        "branch; all: the sum. Data a node: raw pixels of the bands of one branch. MiB counts buffers where the "
        "published size does."
    )
    if elsewhere := [row.recipe.name for row in rows if row.on_other_data]:
        note += f" Results on other data are left out: {', '.join(elsewhere)}."
    return Table(
        caption=f"Published rows on {dataset}",
        head=_PUBLISHED_HEAD + _OWN_HEAD,
        rows=tuple(_published(row.recipe) + _own(row) for row in rows),
        note=note,
    )


def _row(recipe: Recipe, recorded: Recorded) -> Row:
    classes, reported = _REAL[recipe.config.data.source]
    results = recorded.get(recipe.name, [])
    measured = [run for run in results if len(run.data.classes) in classes and run.n_total in reported]
    return Row(recipe, _facts(recipe.name), measured, on_other_data=bool(results) and not measured)


@functools.cache
def _facts(name: str) -> Plan:
    """Return what a row needs; counting its networks takes a while."""
    config = find_recipe(name).config
    facts = facts_of(config.data)
    assert facts is not None
    setting = Setting(
        classes=facts.classes,
        channels=facts.channels,
        images=facts.images,
        train_images=facts.train_images,
        gpu_memory_gb=40.0,
    )
    return make_plan(config, setting)


def _published(recipe: Recipe) -> tuple[str, ...]:
    row = recipe.published
    if row is None:
        return (recipe.name, *[_NONE] * (len(_PUBLISHED_HEAD) - 1))
    figure = [] if row.accuracy is None else [f"{row.accuracy:.2f} %"]
    if row.target is not None:
        figure.append(f"({row.target:.2f} %*)")
    text = " ".join(figure) or _NONE
    return (
        recipe.name,
        *(text if crops == row.crops else _NONE for crops in (1, 10, None)),
        "; ".join(f"{item.accuracy:.2f} % {item.source}" for item in row.references) or _NONE,
        row.size or _NONE,
        row.training_time or _NONE,
    )


def _own(row: Row) -> tuple[str, ...]:
    facts, published = row.facts, row.recipe.published
    buffers = row.recipe.config.network.model == "resnet50" if published is None else published.counts_buffers
    times = _costs(row)
    return (
        f"{facts.parameters:,}",
        f"{facts.mib_with_buffers if buffers else facts.mib_parameters:.2f}",
        f"{facts.gmacs:.2f}",
        f"{facts.gmacs_all:.2f}",
        f"{facts.activation_bytes_per_image / _MIB:.2f}",
        f"{facts.activation_bytes_per_image_all / _MIB:.2f}",
        amount(facts.bytes_per_node, "B"),
        _accuracy([run for run in row.measured if run.crops == 1]),
        _accuracy([run for run in row.measured if run.crops == 10]),
        seconds(statistics.mean(cost.wall_s_longest for cost in times)) if times else NOT_RUN,
        seconds(statistics.mean(cost.wall_s_sum for cost in times)) if times else NOT_RUN,
    )


def _costs(row: Row) -> list[Cost]:
    """Return the costs of a row, one a seed: ten crops are taken of the same trained branches as one."""
    return list({seed_of(run): run.cost for run in row.measured}.values())


def _accuracy(runs: Sequence[Results]) -> str:
    return f"{spread([100 * run.fused.top1 for run in runs])} % (n={len(runs)})" if runs else NOT_RUN


def _evidence(recipes: Sequence[Recipe]) -> Table:
    rows = []
    for recipe in recipes:
        assert recipe.published is not None
        figure = next((cell for cell in _published(recipe)[1:4] if cell != _NONE), _NONE)
        rows.append((recipe.name, figure, recipe.published.evidence))
    return Table(
        caption="What is there for the published accuracies",
        head=("row", "published", "logs and notes"),
        rows=tuple(rows),
        text_columns=frozenset({0, 2}),
    )


def _unconfirmed(recipe: Recipe) -> str:
    sentences = "".join(f"- {escape_markdown(sentence)}\n" for sentence in recipe.unconfirmed)
    return f"**{escape_markdown(recipe.name)}**\n\n{sentences}"
