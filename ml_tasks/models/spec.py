"""What a model learned of its inputs before it was trained: scales and vocabularies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

UNKNOWN = 0
"""Code of a category that training has not seen, and of null."""


class Spec(BaseModel):
    """Inputs in their order, and all that preprocessing needs; fitted on the training part only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Literal["classification", "regression"]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    vocabularies: tuple[tuple[str, ...], ...]
    """By categorical input: the categories, sorted; the first has code 1."""
    target_mean: float = 0.0
    target_scale: float = 1.0


def fit(
    rows: pl.DataFrame,
    *,
    task: Literal["classification", "regression"],
    numeric: tuple[str, ...],
    categorical: tuple[str, ...],
    label: str,
) -> Spec:
    """Learn scales and vocabularies from the rows of the training part."""
    import numpy as np

    columns = numbers(rows, numeric).T
    known = [column[np.isfinite(column)].astype(np.float64) for column in columns]
    target = rows[label].to_numpy().astype(np.float64)
    scaled = task == "regression"
    return Spec(
        task=task,
        numeric=numeric,
        categorical=categorical,
        mean=tuple(float(column.mean()) if column.size else 0.0 for column in known),
        scale=tuple((float(column.std()) if column.size else 0.0) or 1.0 for column in known),
        vocabularies=tuple(
            tuple(sorted(rows[name].drop_nulls().unique().to_list())) for name in categorical
        ),
        target_mean=float(target.mean()) if scaled else 0.0,
        target_scale=float(target.std()) or 1.0 if scaled else 1.0,
    )


def numbers(rows: pl.DataFrame, names: tuple[str, ...]) -> NDArray[np.float32]:
    """Give numeric inputs `[n, k]`; null and infinity become NaN."""
    import numpy as np
    import polars as pl

    if not names:
        return np.zeros((rows.height, 0), np.float32)
    found: NDArray[np.float32] = rows.select(pl.col(names).cast(pl.Float32)).to_numpy()
    return np.where(np.isfinite(found), found, np.float32("nan"))


def codes(rows: pl.DataFrame, spec: Spec) -> NDArray[np.int64]:
    """Give categorical inputs `[n, m]` as codes."""
    import numpy as np
    import polars as pl

    columns = [
        rows[name]
        .replace_strict(
            {word: code for code, word in enumerate(words, start=1)},
            default=UNKNOWN,
            return_dtype=pl.Int64,
        )
        .fill_null(UNKNOWN)
        .to_numpy()
        for name, words in zip(spec.categorical, spec.vocabularies, strict=True)
    ]
    return np.stack(columns, axis=1) if columns else np.zeros((rows.height, 0), np.int64)


def matrix(rows: pl.DataFrame, spec: Spec) -> NDArray[np.float32]:
    """Give numeric inputs and codes side by side `[n, k + m]`, for models that take one table."""
    import numpy as np

    return np.hstack([numbers(rows, spec.numeric), codes(rows, spec).astype(np.float32)])
