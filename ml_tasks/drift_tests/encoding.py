"""Rows as points: what tests that look at all columns together compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_tasks.drift_tests import columns
from ml_tasks.drift_tests.counts import Categories

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

LIMIT = 8.0
"""Scaled numbers are cut off here, infinities too: one outlier is not to set the scale."""
APART = 0.5**0.5
"""Coordinate of a category: two rows that differ in it are 1 apart."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """Scales of columns of numbers and vocabularies of columns of texts, from the reference."""

    scales: dict[str, tuple[float, float]]
    """Mean and standard deviation of the finite numbers; what is missing lies at the mean."""
    words: dict[str, tuple[str, ...]]
    """The most frequent categories; all others are one more, unseen ones another, null none."""
    known: dict[str, tuple[str, ...]]
    """All categories of the reference."""

    @classmethod
    def of(cls, reference: pa.Table, most: int) -> Encoding:
        """Learn scales and vocabularies; columns that are neither numbers nor texts are left."""
        scales, words, known = {}, {}, {}
        for name, kind in zip(reference.column_names, reference.schema.types, strict=True):
            if columns.is_number(kind):
                numbers = columns.numbers(reference, name)
                finite = numbers[np.isfinite(numbers)]
                mean, spread = (finite.mean(), finite.std()) if len(finite) else (0.0, 0.0)
                scales[name] = (float(mean), float(spread) or 1.0)
            elif columns.is_text(kind):
                found = Categories.of(columns.texts(reference, name))
                order = np.argsort(-found.counts, kind="stable")[:most]
                words[name] = tuple(found.words[place] for place in sorted(order))
                known[name] = found.words
        return cls(scales, words, known)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that are encoded."""
        return (*self.scales, *self.words)

    def points(self, rows: pa.Table) -> NDArray[np.float32]:
        """Give rows as points `[n, d]`."""
        parts: list[NDArray[Any]] = []
        for name, (mean, spread) in self.scales.items():
            scaled = (columns.places(rows, name) - mean) / spread
            parts.append(np.nan_to_num(scaled, posinf=LIMIT, neginf=-LIMIT).clip(-LIMIT, LIMIT))
        parts += [self._marks(rows, name) for name in self.words]
        return np.column_stack([np.zeros((rows.num_rows, 0)), *parts]).astype(np.float32)

    def _marks(self, rows: pa.Table, name: str) -> NDArray[np.float64]:
        """Give one coordinate a category `[n, words + 2]`."""
        texts = columns.texts(rows, name)
        there = np.flatnonzero(~np.asarray(texts.is_null()))
        words, known = self.words[name], self.known[name]
        place = {word: at for at, word in enumerate(words)}
        coordinate = np.array([place.get(word, len(words)) for word in known] or [0])
        codes = columns.codes(texts, known)
        unseen = codes >= len(known)
        at = np.where(unseen, len(words) + 1, coordinate[np.minimum(codes, len(coordinate) - 1)])
        marks = np.zeros((rows.num_rows, len(words) + 2))
        marks[there, at] = APART
        return marks

    def facts(self) -> dict[str, Any]:
        """Give it as plain values."""
        return {"scales": self.scales, "words": self.words, "known": self.known}

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> Encoding:
        """Make it again of plain values."""
        return cls(
            *(
                {name: tuple(each) for name, each in facts[key].items()}
                for key in ("scales", "words", "known")
            )
        )
