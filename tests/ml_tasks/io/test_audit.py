"""The audit log: what the database refuses, and what shows where it was made to take it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from ml_tasks.io.control import Control

if TYPE_CHECKING:
    from collections.abc import Callable

COPY = "pipeline, action, who, why, detail, at, previous, hash FROM audit WHERE number = 4"


@pytest.fixture
def control(database_url: str) -> Control:
    """Three promotions of one pipeline, and one of another between them."""
    made = Control(database_url)
    made.migrate()
    for pipeline, version, before in (
        ("p", "1", None), ("p", "2", "1"), ("q", "1", None), ("p", "3", "2"),
    ):  # fmt: skip
        made.promote(
            pipeline, version, expected=before, run=f"r{version}", verdict_uri="u", who="me",
            why="better",
        )  # fmt: skip
    return made


def refused(control: Control, change: str) -> None:
    with (
        pytest.raises(sa.exc.IntegrityError, match="the audit log is append-only"),
        control.transaction() as tx,
    ):
        tx.execute(sa.text(change))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit SET why = 'other' WHERE number = 2",
        "UPDATE audit SET hash = hash",
        "DELETE FROM audit WHERE number = 4",
        "DELETE FROM audit",
        f"INSERT INTO audit SELECT 6, {COPY}",
        f"INSERT INTO audit SELECT 5, {COPY}",
        f"INSERT INTO audit SELECT 0, {COPY}",
    ],
)
def test_it_takes_a_next_entry_and_nothing_else(control: Control, change: str) -> None:
    before = control.audit()
    refused(control, change)
    assert control.audit() == before
    assert control.verify_audit() is None


def test_replacing_and_truncating_are_refused_too(control: Control) -> None:
    """On Postgres also to who stands in for a replica, whose triggers are else quiet."""
    if control.url.startswith("sqlite"):
        refused(control, f"INSERT OR REPLACE INTO audit SELECT 2, {COPY}")
    else:
        refused(control, "TRUNCATE audit")
        refused(control, "SET session_replication_role = replica; DELETE FROM audit")
    assert len(control.audit()) == 4


@pytest.mark.parametrize(
    ("change", "number", "what"),
    [
        ("UPDATE audit SET why = 'other' WHERE number = 2", 2, "not that of its content"),
        ("UPDATE audit SET who = 'you' WHERE number = 3", 3, "not that of its content"),
        ("UPDATE audit SET hash = previous WHERE number = 2", 2, "not that of its content"),
        (
            "UPDATE audit SET previous = hash WHERE number = 2",
            2,
            "not follow from the entry",
        ),
        ("UPDATE audit SET number = 9 WHERE number = 4", 9, "number 4 was to follow"),
        ("DELETE FROM audit WHERE number = 1", 2, "number 1 was to follow: entries are missing"),
        ("DELETE FROM audit WHERE number = 2", 3, "number 2 was to follow: entries are missing"),
        ("DELETE FROM audit WHERE number = 4", 3, "p is version 2, but 3 stands there"),
        ("DELETE FROM audit", 0, "p is version None, but 3 stands there"),
        ("UPDATE heads SET version = '2' WHERE pipeline = 'p'", 4, "version 3, but 2 stands there"),
        ("DELETE FROM heads WHERE pipeline = 'q'", 4, "q is version 1, but None stands there"),
    ],
)
def test_who_changes_it_all_the_same_is_found_out(
    control: Control, tamper: Callable[[str, str], None], change: str, number: int, what: str
) -> None:
    tamper(control.url, change)
    flaw = control.verify_audit()
    assert flaw is not None
    assert flaw.number == number
    assert what in flaw.what
