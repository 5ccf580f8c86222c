"""The recipe sets side by side: one column a set, one row a setting, and below what differs from the publications."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bandwise.report.tables import Table, escape_markdown, to_markdown

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


@dataclass(frozen=True, slots=True)
class SetColumn:
    """One recipe set applied to one row."""

    name: str
    config: dict[str, Any]
    """The resolved configuration."""
    sources: tuple[str, ...]
    notes: tuple[str, ...]


def set_table(row: str, columns: Sequence[SetColumn]) -> Table:
    """Lay out the settings of the sets on one row; an empty cell is a setting that is off."""
    cells = tuple((label, *(_cell(column.config, key) for column in columns)) for label, key in _SETTINGS)
    return Table(
        caption=f"Recipe sets, on {row}",
        head=("setting", *(column.name for column in columns)),
        rows=cells,
        note="Empty: off. Crops are before the split. Every set works on whole images (augment-at image).",
    )


def sets_markdown(row: str, columns: Sequence[SetColumn]) -> str:
    """Return the table, the sources and the notes as Markdown."""
    parts = [to_markdown(set_table(row, columns))]
    for column in columns:
        lines = [f"**{escape_markdown(column.name)}**", ""]
        lines += [f"- {escape_markdown(source[:1].upper() + source[1:])}." for source in column.sources]
        lines += [f"- {escape_markdown(note)}" for note in column.notes]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


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
