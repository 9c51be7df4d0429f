"""What the Kubernetes API says when its answer is no."""

from __future__ import annotations

import json

from ml_tasks.errors import ConfigError

NOT_FOUND, FORBIDDEN, CONFLICT = 404, 403, 409
ROLES = "k8s/base/tasks/launcher.yaml"


class RefusedError(ConfigError):
    """The API refused: rights, quota, what a manifest says."""

    def __init__(self, status: int, said: str) -> None:
        """Say what it said; where a right is missing, who has them all written down."""
        wanted = f"; the rights that are wanted stand in {ROLES}" if status == FORBIDDEN else ""
        super().__init__(f"the Kubernetes API refused ({status}): {said}{wanted}")
        self.status = status


def said(body: str | bytes | None, reason: object) -> str:
    """Give the message of an answer, else its reason."""
    try:
        return str(json.loads(body or "")["message"])
    except (ValueError, KeyError, TypeError):
        return str(reason)
