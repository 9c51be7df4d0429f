"""How a champion is watched, and what lets it be trained anew."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from ml_tasks.config.numbers import Count, Days, Real
from ml_tasks.config.outside import OUTSIDE, Outside
from ml_tasks.config.section import Section
from ml_tasks.config.wording import explain


class Drift(Section):
    """One test that holds each day against the reference."""

    test: str
    """Name of the test: `ks`, `chi_square`, `mmd` …"""
    columns: tuple[str, ...] = ()
    """What it looks at; all that it can look at when not given."""
    params: dict[str, Any] = {}
    """The test's own parameters; `perennial config check` holds them against its model."""


class Alarms(Section):
    """How often the owner wants to be woken up for nothing."""

    false_pages: Real = Field(gt=0, default=1)
    """So many false alarms at the most …"""
    days: Days = Field(gt=0, default=91)
    """… in so many days, over all signals together."""
    least_loss: Real = Field(ge=0, default=0.0)
    """A drift that costs less of the metric than this, by estimate, is shown and wakes nobody."""


class Policy(Section):
    """One reason to train."""

    name: str
    params: dict[str, Any] = {}
    """The policy's own parameters; `perennial config check` holds them against its model."""

    @model_validator(mode="after")
    def _outside_holds(self) -> Policy:
        """Those of `outside` are read where nothing of a plug-in is: at once, or never."""
        if self.name == OUTSIDE:
            try:
                Outside.model_validate(self.params)
            except ValidationError as fault:
                told = explain(fault, "params", Outside).splitlines()
                raise ValueError("; ".join(told)) from None
        return self


class Retraining(Section):
    """When evidence becomes a trigger."""

    policies: tuple[Policy, ...] = ()
    """Without one nothing is trained by itself."""
    when: Literal["any", "all"] = "any"
    """Whether one policy that wants it is enough."""
    cool_down_days: Days = Field(ge=0, default=7)
    """No trigger so soon after the one before."""
    most_a_month: Count = Field(gt=0, default=4)
    """Trainings that monitoring may ask for in 30 days."""
    least_gain: Real = Field(ge=0, default=0.0)
    """What of the metric a training must be expected to win."""
    graded_windows: Count = Field(ge=0, default=4)
    """So many windows after a promotion are predicted by the champion before, too: what was won is
    measured on the same rows."""

    @property
    def outside(self) -> tuple[Outside, ...]:
        """What other systems' alerts must be to count, by each policy that heeds any."""
        own = (policy.params for policy in self.policies if policy.name == OUTSIDE)
        return tuple(Outside.model_validate(params) for params in own)


class Rollback(Section):
    """When a champion that was promoted gives way to the one before it."""

    automatic: bool = True
    """Whether monitoring does it; `perennial rollback` may be called in any case."""
    windows: Count = Field(gt=0, default=2)
    """So many windows are looked at together, at the least."""
    rows: Count = Field(gt=0, default=200)
    """So many rows in them must have a label."""
    drop: Real = Field(ge=0, default=0.0)
    """Of the metric: by so much it must be worse even at the better end of its interval."""


class Monitoring(Section):
    """How predictions, their inputs and their truth are watched."""

    engine: Literal["alibi-detect", "scipy"] = "alibi-detect"
    """Whose tests: alibi-detect's (Business Source Licence), or those that scipy has."""
    drift: tuple[Drift, ...] = (
        Drift(test="ks"),
        Drift(test="chi_square"),
        Drift(test="profile"),
    )
    outlier_share: Real = Field(gt=0, lt=1, default=0.01)
    """Share of the reference's rows that count as outliers, and so say how far away one lies."""
    label_days: Days = Field(ge=0, default=14)
    """How long after a window its labels are waited for: so long its measures are renewed."""
    alarms: Alarms = Alarms()
    retraining: Retraining = Retraining()
    rollback: Rollback = Rollback()

    @field_validator("drift")
    @classmethod
    def _each_once(cls, value: tuple[Drift, ...]) -> tuple[Drift, ...]:
        """A signal is named after its test and column: two of a name would be one."""
        names = [one.test for one in value]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"each test once, with all its columns; {twice} come twice")
        return value

    @model_validator(mode="after")
    def _enough_are_graded(self) -> Monitoring:
        graded, wanted = self.retraining.graded_windows, self.rollback.windows
        if self.rollback.automatic and 0 < graded < wanted:
            raise ValueError(
                f"rollback.windows: came {wanted}, but only {graded} are graded; wanted "
                f"{graded} at the most, or retraining.graded_windows {wanted} at the least"
            )
        return self
