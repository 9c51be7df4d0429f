"""The history of one seed: its candidates, what became of them, and what the gates say to them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ml_tasks.evaluate import CANDIDATE, CHAMPION, Test, compare
from ml_tasks.io import objects
from ml_tasks.judge import judge
from ml_tasks.models.predict import OnnxModel
from perennial.backtesting import steps
from perennial.backtesting.weeks import Score

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from ml_tasks.config import Environment, Pipeline
    from ml_tasks.gates.verdict import Measured
    from ml_tasks.policies.evidence import Evidence
    from ml_tasks.result import Window
    from perennial.backtesting.candidates import Candidate
    from perennial.backtesting.weeks import Followed


@dataclass(slots=True)
class Ground:
    """A world that policies walk through."""

    environment: Environment
    pipeline: Pipeline
    seed: int
    candidates: dict[datetime, Candidate]
    followed: dict[datetime, Followed] = field(default_factory=dict)
    _told: dict[tuple[datetime, datetime], Evidence] = field(default_factory=dict)
    _passed: dict[tuple[datetime, datetime | None], bool] = field(default_factory=dict)

    def evidence(self, champion: datetime, window: Window) -> Evidence:
        """Give what policies are told at a window's end."""
        if (champion, window.end) not in self._told:
            self._told[champion, window.end] = self.followed[champion].evidence(
                self.candidates[champion], window, self.pipeline.evaluation.metric
            )
        return self._told[champion, window.end]

    def score(self, champion: datetime, window: Window) -> Score:
        """Give what a champion was worth in a window."""
        return self.followed[champion].scores.get(window.end.isoformat(), Score(math.nan, 0))

    def passes(self, candidate: datetime, champion: datetime | None) -> bool:
        """Tell whether a candidate passes its gates, beside a champion or as the first one."""
        if candidate not in self.candidates:
            return False
        if (candidate, champion) not in self._passed:
            self._passed[candidate, champion] = self._read(candidate, champion)
        return self._passed[candidate, champion]

    def reachable(self, first: datetime, ends: Sequence[datetime]) -> list[datetime]:
        """Give who may be champion at all: by gates, after whoever may have been before.

        Args:
            first: The first champion.
            ends: Candidates after it, oldest first.
        """
        found = [first]
        for end in ends:
            if any(self.passes(end, champion) for champion in reversed(found)):
                found.append(end)
        return found

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
        passed = self._judged(_beside(new, old, self.pipeline))
        objects.write_text(uri, json.dumps(passed))
        return passed

    def _judged(self, measured: Measured) -> bool:
        gates = self.pipeline.evaluation.gates
        return judge(measured, gates, pipeline=self.pipeline.name, run="backtest").passed


def _beside(new: Candidate, old: Candidate, pipeline: Pipeline) -> Measured:
    """Measure a candidate against a champion, as the task `evaluate` does."""
    import polars as pl

    rows = pl.DataFrame(pl.from_arrow(objects.read_parquet(new.uri("assemble", "set"))))
    rows = rows.filter(pl.col("split") == "test")
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
