"""The history of one seed: its candidates, what became of them, and what the gates say to them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ml_tasks.config.references import CANDIDATE, CHAMPION
from ml_tasks.evaluate import Test, compare
from ml_tasks.io import objects, parquet
from ml_tasks.judge import judge
from ml_tasks.models.predict import OnnxModel
from perennial.backtesting import steps
from perennial.backtesting.walk import UnwatchedError
from perennial.backtesting.weeks import Followed, Score

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from ml_tasks.config import Environment, Pipeline
    from ml_tasks.gates.verdict import Measured
    from ml_tasks.policies.evidence import Evidence
    from ml_tasks.result import Window
    from perennial.backtesting.candidates import Candidate


@dataclass(slots=True, eq=False)
class Ground:
    """A world that policies walk through."""

    environment: Environment
    pipeline: Pipeline
    seed: int
    candidates: dict[datetime, Candidate]
    followed: dict[datetime, Followed] = field(default_factory=dict)
    _told: dict[tuple[datetime, datetime], Evidence] = field(default_factory=dict)
    _passed: dict[tuple[datetime, datetime | None], bool] = field(default_factory=dict)
    _test: tuple[datetime, pl.DataFrame] | None = None
    """The newest candidate's test rows: it is often held against several champions."""

    def evidence(self, champion: datetime, window: Window) -> Evidence:
        """Give what policies are told at a window's end.

        Raises:
            UnwatchedError: Nobody has watched that champion in that window yet.
        """
        if window.end.isoformat() not in self.followed[champion].measures:
            raise UnwatchedError(champion, window)
        if (champion, window.end) not in self._told:
            self._told[champion, window.end] = self._evidence(
                self.followed[champion], champion, window
            )
        return self._told[champion, window.end]

    def age(self, champion: datetime, window: Window) -> Evidence:
        """Give the same without anything that watching it has found."""
        return self._evidence(Followed(), champion, window)

    def _evidence(self, followed: Followed, champion: datetime, window: Window) -> Evidence:
        metric = self.pipeline.evaluation.metric
        return followed.evidence(self.candidates[champion], window, metric)

    def score(self, champion: datetime, window: Window) -> Score:
        """Give what a champion was worth in a window; NaN where nothing was learned or known."""
        followed = self.followed.get(champion, Followed())
        return followed.scores.get(window.end.isoformat(), Score(math.nan, 0))

    def passes(self, candidate: datetime, champion: datetime | None) -> bool:
        """Tell whether a candidate passes its gates, beside a champion or as the first one."""
        if candidate not in self.candidates:
            return False
        if (candidate, champion) not in self._passed:
            self._passed[candidate, champion] = self._read(candidate, champion)
        return self._passed[candidate, champion]

    def _read(self, candidate: datetime, champion: datetime | None) -> bool:
        new = self.candidates[candidate]
        if champion is None:
            return self._judged(new.measured)
        if not self.passes(candidate, None):
            return False  # whoever is champion
        old, evaluation = self.candidates[champion], self.pipeline.evaluation
        told = evaluation.model_dump(mode="json", exclude={"segments", "baselines"})
        name = steps.key(new.digest, old.digest, told)
        uri = f"{self.environment.objects_root}/judged/{new.version}-{old.version}-{name}.json"
        if objects.exists(uri):
            return bool(json.loads(objects.read_text(uri)))
        passed = self._judged(_beside(new, old, self._tested(new), self.pipeline))
        objects.write_text(uri, json.dumps(passed))
        return passed

    def _tested(self, new: Candidate) -> pl.DataFrame:
        import polars as pl

        if self._test is None or self._test[0] != new.end:
            made = parquet.read(new.uri("assemble", "set"))
            rows = pl.DataFrame(pl.from_arrow(made)).filter(pl.col("split") == "test")
            self._test = new.end, rows
        return self._test[1]

    def _judged(self, measured: Measured) -> bool:
        gates = self.pipeline.evaluation.gates
        return judge(measured, gates, pipeline=self.pipeline.name, run="backtest").passed


def _beside(new: Candidate, old: Candidate, rows: pl.DataFrame, pipeline: Pipeline) -> Measured:
    """Measure a candidate against a champion on its test rows, as the task `evaluate` does."""
    about = json.loads(objects.read_text(new.uri("assemble", "description")))
    test = Test(
        task=about["task"],
        y=rows[about["label"]].to_numpy().astype(float),
        days=rows["event_time"].dt.date().to_numpy(),
        segments={},
    )
    compared = compare(
        test,
        {CANDIDATE: _said(new, rows), CHAMPION: _said(old, rows)},
        candidate=new.measured.candidate,
        champion=old.version,
        evaluation=pipeline.evaluation,
        seed=new.seed,
    )
    told = {"champion": compared.champion, "over_champion": compared.over_champion}
    return new.measured.model_copy(update=told)


def _said(candidate: Candidate, rows: pl.DataFrame) -> NDArray[np.float64]:
    stored = candidate.stored
    return OnnxModel(objects.read_bytes(stored.graph), stored.spec).predict(rows)
