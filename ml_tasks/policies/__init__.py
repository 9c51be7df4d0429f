"""Reasons to train: a policy is a file here and one line in `POLICIES`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ml_tasks.config import hold
from ml_tasks.errors import ConfigError
from ml_tasks.policies import drift, outside, performance, schedule

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ml_tasks.config import Policy
    from ml_tasks.policies.evidence import Evidence, Wish


class _PolicyModule(Protocol):
    @property
    def Params(self) -> type[BaseModel]: ...  # noqa: N802 - the name of a class

    def wish(self, evidence: Evidence, params: Any) -> Wish | None: ...


POLICIES: dict[str, _PolicyModule] = {
    "drift": drift,
    "outside": outside,
    "performance": performance,
    "schedule": schedule,
}


def params_of(policy: Policy) -> BaseModel:
    """Hold a policy's parameters against its model.

    Raises:
        ConfigError: There is no such policy, or its parameters do not fit.
    """
    if policy.name not in POLICIES:
        raise ConfigError(
            f"monitoring.retraining.policies: came name {policy.name!r}, wanted one of "
            f"{sorted(POLICIES)}"
        )
    where = f"monitoring.retraining.policies {policy.name}"
    return hold(POLICIES[policy.name].Params, policy.params, where)


def wish(policy: Policy, evidence: Evidence) -> Wish | None:
    """Give what one policy wants; `None` where it wants nothing."""
    return POLICIES[policy.name].wish(evidence, params_of(policy))
