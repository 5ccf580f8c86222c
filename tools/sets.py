"""The recipe sets side by side: one column a set, one row a setting, and below what differs from the publications."""

from typing import Any

from bandwise.config import to_dict
from bandwise.recipes.catalog import find_recipe
from bandwise.recipes.sets import RECIPE_SETS
from bandwise.report.page import Table, escape_markdown, to_markdown

_ROW = "resnet34-sub4"
"""The recipe on which the sets are shown."""

_SETTINGS = (
    ("epochs", "training.epochs"),
    ("batch", "training.batch_size"),
    ("optimiser", "training.opt"),
    ("learning rate", "training.lr"),
    ("schedule", "training.sched"),
    ("least rate", "training.min_lr"),
    ("warm-up, epochs", "training.warmup_epochs"),
    ("weight decay", "training.weight_decay"),
    ("training crop, px", "training.train_crop"),
    ("label smoothing", "training.smoothing"),
    ("binary cross-entropy", "training.bce_loss"),
    ("threshold of its targets", "training.bce_target_thresh"),
    ("moving average, decay", "training.model_ema_decay"),
    ("steps between its updates", "training.model_ema_steps"),
    ("stochastic depth", "network.drop_path"),
    ("policy", "augment.aa"),
    ("mixup", "augment.mixup"),
    ("cutmix", "augment.cutmix"),
    ("erasing", "augment.reprob"),
    ("repeats", "augment.aug_repeats"),
    ("interpolation", "augment.interpolation"),
)


def sets_markdown() -> str:
    """Return the table, the sources and the notes as Markdown."""
    config = find_recipe(_ROW).config
    parts = [to_markdown(_table({item.name: to_dict(item.apply(config)) for item in RECIPE_SETS.values()}))]
    for item in RECIPE_SETS.values():
        lines = [f"**{escape_markdown(item.name)}**", ""]
        lines += [f"- {escape_markdown(source[:1].upper() + source[1:])}." for source in item.sources]
        lines += [f"- {escape_markdown(note)}" for note in item.notes_for(config)]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _table(configs: dict[str, dict[str, Any]]) -> Table:
    """Lay out the settings of every set; an empty cell is a setting that is off."""
    return Table(
        caption=f"Recipe sets, on {_ROW}",
        head=("setting", *configs),
        rows=tuple((label, *(_cell(config, key) for config in configs.values())) for label, key in _SETTINGS),
        note="Empty: off. Crops are before the split. Every set works on whole images (augment-at image).",
    )


def _cell(config: dict[str, Any], key: str) -> str:
    section, name = key.split(".")
    if name.startswith("model_ema") and not config["training"]["model_ema"]:
        return ""
    value = config[section][name]
    if value is True:
        return "yes"
    if name == "train_crop":
        value = value or config["training"]["crop"]
    return f"{value:g}" if isinstance(value, float) and value else str(value or "")
