"""Predictions from an exported model; needs ONNX Runtime and no PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks.models.spec import numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from ml_tasks.models.spec import Spec

THREADS = 1
"""A second one wins little with so few rows at once: two predictions side by side win more."""
AT_ONCE = 2_000
"""Rows whose intermediate tables a core's own cache holds: a third faster than all rows at once."""
NO_TEXT = "\x00"
"""Stands for null: no category is written so, and an unknown one has a code."""


class OnnxModel:
    """An exported model, loaded once."""

    def __init__(self, graph: bytes, spec: Spec) -> None:
        """Load the graph; `spec` tells the order of its inputs."""
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = THREADS
        self.spec = spec
        self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def predict(self, rows: pl.DataFrame) -> NDArray[np.float64]:
        """Give predictions `[n]` for rows that hold the model's inputs as raw columns."""
        import numpy as np
        import polars as pl

        feed: dict[str, NDArray[np.generic]] = {"numeric": numbers(rows, self.spec.numeric)}
        if self.spec.categorical:
            texts = rows.select(pl.col(self.spec.categorical).cast(pl.String).fill_null(NO_TEXT))
            feed["categorical"] = texts.to_numpy().astype(object)
        return np.concatenate([self.raw(some) for some in _pieces(feed, max(rows.height, 1))])

    def raw(self, feed: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float64]:
        """Give predictions `[n]` for the graph's own inputs by name."""
        import numpy as np

        (found,) = self._session.run(["prediction"], dict(feed))
        return np.asarray(found, dtype=np.float64)


def _pieces(
    feed: Mapping[str, NDArray[np.generic]], rows: int
) -> Iterator[dict[str, NDArray[np.generic]]]:
    for first in range(0, rows, AT_ONCE):
        yield {name: values[first : first + AT_ONCE] for name, values in feed.items()}
