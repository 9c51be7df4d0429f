"""Who may see a product: whoever Airflow lets read its training DAG."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from airflow.api_fastapi.app import get_auth_manager
from airflow.models.dag import DagModel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser

SAFE = re.compile(r"(?!\.)[A-Za-z0-9_.-]+")


class DeniedError(Exception):
    """Somebody asks for a product that is not theirs to see."""


def readable(pipelines: Iterable[str], user: BaseUser) -> set[str]:
    """Give those of some products that somebody may see; one query, however many there are."""
    names = {_dag(one): one for one in pipelines}
    teams = DagModel.get_dag_id_to_team_name_mapping(list(names)) if names else {}
    by_team: dict[str | None, set[str]] = defaultdict(set)
    for dag in names:
        by_team[teams.get(dag)].add(dag)
    permitted = (
        get_auth_manager().filter_authorized_dag_ids(dag_ids=dags, user=user, team_name=team)
        for team, dags in by_team.items()
    )
    return {names[dag] for dags in permitted for dag in dags}


def permit(pipeline: str, user: BaseUser) -> None:
    """Let those pass who may see a product.

    Raises:
        DeniedError: It is not theirs to see, whether it exists or not.
    """
    if pipeline not in readable([pipeline], user):
        raise DeniedError(
            f"{user.get_name()}: came no right to read {_dag(pipeline)} in Airflow, wanted it: "
            f"whoever may read it sees all of {pipeline}"
        )


def fault(**names: str) -> str | None:
    """Give what is wrong with names that came from outside; those that are empty are left out."""
    for what, name in names.items():
        if name and (not SAFE.fullmatch(name) or ".." in name):
            return f"{what}: came {name!r}, wanted letters, digits, '_', '-' and '.'"
    return None


def _dag(pipeline: str) -> str:
    return f"{pipeline}__training"
