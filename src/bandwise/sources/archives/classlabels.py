"""From the labels that stand in shards, numbers or words, to classes."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from bandwise.errors import UsageError
from bandwise.sources.folders.classes import require_distinct, require_same


class LabelReader:
    """Turns labels into numbers as they come, and into classes when all have come: all numbers, or all words."""

    def __init__(self, where: str, names: Sequence[str] | None = None) -> None:
        """Start with the names of the classes where something says them; labels are then numbers, or these words."""
        self._where = where
        self._names = names
        self._words: dict[str, int] = {}
        self._numbers = False

    def codes(self, labels: Sequence[int | str], shard: str) -> np.ndarray:
        """Return int32 `(N,)`; only `finish` knows what the codes of words mean.

        Raises:
            UsageError: a label is negative or too large, a number among words, or a word among numbers.
        """
        for label in labels:
            number = isinstance(label, int)
            if (number and self._words) or (not number and self._numbers):
                raise UsageError(f"{shard}: labels are words and numbers, for example {label!r}; use one kind")
            if number:
                self._numbers = True
                self._require_number(label, shard)
            else:
                self._words.setdefault(label, len(self._words))
        codes = labels if self._numbers else [self._words[str(label)] for label in labels]
        return np.array(codes, np.int32)

    def finish(self, codes: np.ndarray, val: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
        """Return the class names and the label of each image, int32 `(N,)`.

        Args:
            codes: int32 `(N,)`, all that `codes` returned.
            val: bool `(N,)`, true for the reported set.

        Raises:
            UsageError: training and reported images have other classes, or there are more classes than images.
        """
        if self._words:
            return self._finish_words(codes, val)
        if self._names is None:
            known = int(codes[~val].max(initial=-1)) + 1
            if known > len(codes):
                raise UsageError(f"{self._where}: labels run to {known - 1}, but there are only {len(codes)} pictures")
            if val.any() and (highest := int(codes[val].max())) >= known:
                raise UsageError(
                    f"{self._where}: training labels run to {known - 1} and reported ones to {highest}: "
                    "the classes differ"
                )
            return tuple(map(str, range(known))), codes
        return _distinguished(self._names), codes

    def _finish_words(self, codes: np.ndarray, val: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
        words = list(self._words)
        require_distinct(self._where, words)
        train, reported = ({words[code] for code in np.unique(codes[part])} for part in (~val, val))
        if reported:
            require_same(self._where, train, "reported", reported)
        classes = sorted(words) if self._names is None else list(self._names)
        if unknown := set(words) - set(classes):
            raise UsageError(f"{self._where}: the label {min(unknown)!r} is none of the {len(classes)} named classes")
        position = {word: label for label, word in enumerate(classes)}
        return tuple(classes), np.array([position[word] for word in words], np.int32)[codes]

    def _require_number(self, label: int, shard: str) -> None:
        if label < 0:
            raise UsageError(f"{shard} has the label {label}: its pictures are not labelled; report on another split")
        if label >= (1 << 31) - 1 if self._names is None else label >= len(self._names):
            allowed = "" if self._names is None else f"; there are {len(self._names)} classes"
            raise UsageError(f"{shard} has the label {label}{allowed}")


def _distinguished(names: Sequence[str]) -> tuple[str, ...]:
    """Return names that differ: those that stand twice get their number, for ImageNet has two kinds of crane."""
    counts = Counter(names)
    return tuple(name if counts[name] == 1 else f"{name} ({label})" for label, name in enumerate(names))
