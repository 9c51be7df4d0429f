"""Detectors of alibi-detect, made of what is kept; imported late, since that takes seconds."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    Array = NDArray[Any]

P_VALUE = 0.05
"""What a detector is told to call drift; nothing here reads its verdict."""


def apart(
    kind: str,
    reference: Array,
    words: Mapping[str, Any],
    against: Callable[[Array], tuple[float, float]],
) -> Callable[[Array], tuple[float, float]]:
    """Make a detector of one column; its statistic is computed from the kept reference.

    alibi-detect's own `feature_score` calls scipy, which sorts the reference for every window.
    """

    class Column(_class(kind)):  # type: ignore[misc]
        """alibi-detect's detector on a reference that is not sorted again."""

        def feature_score(self, _x_ref: Array, x: Array) -> tuple[Array, Array]:
            """Give p-value and statistic of the one column."""
            statistic, p_value = against(x[:, 0])
            return np.array([p_value]), np.array([statistic])

    detector = Column(reference[:, None], p_val=P_VALUE, **words)

    def score(values: Array) -> tuple[float, float]:
        said = detector.predict(values[:, None], drift_type="feature")["data"]
        return float(said["distance"][0]), float(said["p_val"][0])

    return score


def score(
    kind: str, reference: Array, window: Array, words: Mapping[str, Any], seed: int
) -> tuple[float, float]:
    """Give statistic and p-value of a detector that compares all columns together."""
    with seeded(seed):
        said = _class(kind)(reference, p_val=P_VALUE, **words).predict(window)["data"]
    return float(said["distance"]), float(said["p_val"])


def stream(
    kind: str, reference: Array, words: Mapping[str, Any], seed: int, thresholds: Array | None
) -> Any:
    """Make an online detector in its first state.

    Args:
        kind: alibi-detect's class.
        reference: Rows of the reference.
        words: What it is told.
        seed: Of its simulations, and of the reference's rows that begin its window.
        thresholds: Those of an earlier one, which then are not simulated again.
    """
    base = _class(kind)

    class Stream(base):  # type: ignore[misc, valid-type]
        """alibi-detect's detector; its thresholds may be known."""

        def _configure_thresholds(self) -> None:
            if thresholds is None:
                super()._configure_thresholds()
            else:
                self.thresholds = thresholds

    with seeded(seed):
        return Stream(reference, verbose=False, **words)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Set the global generators that alibi-detect draws from; put them back afterwards.

    PyTorch gets one thread meanwhile: the detectors index small matrices again and again, which
    two threads did 8 to 20 times slower on 2 busy cores.
    """
    import torch

    threads, before, numpys = torch.get_num_threads(), random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            random.setstate(before)
            np.random.set_state(numpys)


def _class(kind: str) -> Any:
    from ml_tasks.drift_tests import detectors

    return detectors.named(kind)
