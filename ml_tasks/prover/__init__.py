"""Proves that nothing in a training set comes from the future; shares no code with the join."""

from __future__ import annotations

from ml_tasks.prover.facts import subject
from ml_tasks.prover.proof import OnRequest, View, prove

__all__ = ["OnRequest", "View", "prove", "subject"]
