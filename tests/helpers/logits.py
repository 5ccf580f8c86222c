"""Logits files made by hand."""

from pathlib import Path

from bandwise.config import KeepLogits
from bandwise.runs.logits import LogitsFile, writing_logits


def write_logits(path: Path, content: LogitsFile, keep: KeepLogits = "full") -> None:
    """Write logits that are in memory."""
    assert content.ids.shape == content.labels.shape == content.logits.shape[:1]
    with writing_logits(path, *content.logits.shape, content.meta, keep) as writer:
        writer.put(0, content.ids, content.labels, content.logits)
