"""A source's columns are added, widened, renamed and taken away between real windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ml_tasks import config, ingest, validate
from ml_tasks.config import ROOT, Environment, Pipeline, Source
from ml_tasks.context import Context
from ml_tasks.errors import ConfigError
from ml_tasks.io import objects
from ml_tasks.io.content import content_hash
from ml_tasks.io.lake import Lake
from ml_tasks.result import Result, Window

if TYPE_CHECKING:
    from pathlib import Path

FLIGHTS = config.load("flight_delays", ROOT / "ml_tasks" / "pipelines")
FIRST, SECOND = (Window.parse(w) for w in ("2013-01-01/2013-01-08", "2013-01-08/2013-01-15"))
COLUMNS = {"id": "int64", "at": "timestamp", "value": "int32?", "note": "string?"}
OLD = "id,at,value,note\n1,2013-01-02T10:00:00Z,5,a\n2,2013-01-02T11:00:00Z,6,b\n"


class Shop:
    """A product of one CSV source, whose declaration changes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.environment = folder, Environment(home=folder / "home")
        self.lake, self.runs = Lake(self.environment), 0

    def deliver(self, text: str, *, day: int = 2, landed: int = 9) -> None:
        name = f"in/2013-01-{day:02}/landed=2013-01-{landed:02}.csv"
        objects.write_text((self.folder / name).as_uri(), text)

    def declared(self, columns: dict[str, str], **told: Any) -> Pipeline:
        path = f"{self.folder.as_uri()}/in/{{date}}/*.csv"
        source = Source.model_validate({
            "kind": "csv", "params": {"path": path}, "key": ["id"], "event_time": "at",
            "known_at": ["at"], "columns": columns, "may_be_empty": True, **told,
        })  # fmt: skip
        checks = FLIGHTS.validation.model_copy(
            update={"expectations": {}, "tolerated_bad_share": 0.5}
        )
        return FLIGHTS.model_copy(update={"sources": {"s": source}, "validation": checks})

    def ingest(
        self, columns: dict[str, str], window: Window = FIRST, **told: Any
    ) -> tuple[Result, Result]:
        pipeline = self.declared(columns, **told)
        self.runs += 1
        done: dict[str, Result] = {}
        for task, module in (("ingest", ingest), ("validate", validate)):
            context = Context(
                task=task, pipeline="p", run=f"r{self.runs}", attempt=1, window=window,
                environment=self.environment, inputs=dict(done),
            )  # fmt: skip
            done[task] = module.run(pipeline, context)
        return done["ingest"], done["validate"]

    def rows(self, *names: str, window: Window = FIRST) -> list[tuple[object, ...]]:
        found = self.lake.read("raw.s", window=window).select(list(names)).to_pylist()
        return sorted((tuple(row.values()) for row in found), key=str)

    def hash(self, window: Window = FIRST) -> str:
        return content_hash(self.lake.read("raw.s", window=window))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = Shop(tmp_path)
    made.deliver(OLD)
    made.ingest(COLUMNS)
    return made


def test_an_added_column_is_null_in_old_rows_and_counts_where_it_says_something(
    shop: Shop,
) -> None:
    before, wider = shop.hash(), {**COLUMNS, "colour": "string?"}
    staged, _ = shop.ingest(wider)
    assert staged.values["unchanged"] is True
    assert shop.rows("id", "colour") == [(1, None), (2, None)]
    assert shop.hash() == before

    shop.deliver("id,at,value,note,colour\n3,2013-01-09T10:00:00Z,7,c,red\n", day=9, landed=16)
    shop.ingest(wider, SECOND)
    assert shop.rows("id", "colour", window=SECOND) == [(3, "red")]
    assert shop.hash() == before

    later = OLD.replace("note\n", "note,colour\n").replace(",a\n", ",a,blue\n")
    shop.deliver(later.replace(",b\n", ",b,\n"), landed=20)
    staged, _ = shop.ingest(wider)
    assert staged.values["s"]["corrections"] == 1
    assert shop.rows("id", "colour") == [(1, "blue"), (1, None), (2, None)]
    assert shop.hash() != before
    assert shop.ingest(wider)[0].values["unchanged"] is True


def test_the_newest_snapshot_has_the_columns_as_they_are(shop: Shop) -> None:
    old = shop.lake.snapshot("raw.s")
    shop.ingest({**COLUMNS, "colour": "string?"})
    new = shop.lake.snapshot("raw.s")
    assert "colour" in shop.lake.read("raw.s", snapshot=new).column_names
    assert "colour" not in shop.lake.read("raw.s", snapshot=old).column_names


def test_a_column_is_widened_in_place(shop: Shop) -> None:
    wide = {**COLUMNS, "value": "int64?"}
    assert shop.ingest(wide)[0].values["unchanged"] is True
    shop.deliver(f"id,at,value,note\n3,2013-01-09T10:00:00Z,{2**40},c\n", day=9)
    shop.ingest(wide, SECOND)
    assert shop.rows("id", "value") == [(1, 5), (2, 6)]
    assert shop.rows("id", "value", window=SECOND) == [(3, 2**40)]
    assert str(shop.lake.read("raw.s").schema.field("value").type) == "int64"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "int32?",
            "float64?",
            "column 'value' is int32 there, came float64: in place int32 widens",
        ),
        ("int64?", "int32?", "is int64 there, came int32: .* Declare it int64, or declare the new"),
        ("int32?", "string?", "is int32 there, came string"),
        ("float64?", "float32?", "is float64 there, came float32"),
        ("int64?", "timestamp?", "is int64 there, came timestamp"),
    ],
)
def test_other_types_are_refused_and_nothing_moves(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    shop = Shop(tmp_path)
    shop.deliver(OLD)
    shop.ingest({**COLUMNS, "value": before})
    snapshot = shop.lake.snapshot("raw.s")
    with pytest.raises(ConfigError, match=f"lake table raw.s: .*{said}"):
        shop.ingest({**COLUMNS, "value": after})
    assert shop.lake.snapshot("raw.s") == snapshot
    assert shop.ingest({**COLUMNS, "value": before})[0].values["unchanged"] is True


RENAMED = {"id": "int64", "at": "timestamp", "amount": "int32?", "note": "string?"}


def test_a_renamed_column_keeps_its_rows_and_old_files_still_fit(shop: Shop) -> None:
    for _ in range(2):
        staged, validated = shop.ingest(RENAMED, renamed_from={"amount": "value"})
        assert staged.values["unchanged"] is True
        assert validated.values["s"] == {"published": 0, "quarantined": 0}
    assert shop.rows("id", "amount") == [(1, 5), (2, 6)]
    shop.deliver("id,at,amount,note\n1,2013-01-02T10:00:00Z,9,a\n", landed=20)
    staged, _ = shop.ingest(RENAMED, renamed_from={"amount": "value"})
    assert staged.values["s"]["corrections"] == 1
    assert shop.rows("id", "amount") == [(1, 5), (1, 9), (2, 6)]
    assert "value" not in shop.lake.read("raw.s").column_names


def test_renamed_and_widened_at_once(shop: Shop) -> None:
    shop.ingest({**RENAMED, "amount": "int64?"}, renamed_from={"amount": "value"})
    assert shop.rows("id", "amount") == [(1, 5), (2, 6)]


def test_who_still_declares_the_old_name_is_told(shop: Shop) -> None:
    """Another product of the same source, whose YAML was forgotten, makes no second column."""
    shop.ingest(RENAMED, renamed_from={"amount": "value"})
    with pytest.raises(ConfigError, match="column 'value' is 'amount' by now: declare that, or"):
        shop.ingest(COLUMNS)
    assert shop.lake.read("raw.s").column_names.count("value") == 0
    shop.ingest(COLUMNS, renamed_from={"value": "amount"})
    assert shop.rows("id", "value") == [(1, 5), (2, 6)]


@pytest.mark.parametrize(
    ("columns", "renamed", "said"),
    [
        (RENAMED, {"amount": "worth"}, "it has neither, wanted one of .*'value'"),
        ({**RENAMED, "extra": "int32?"}, {"extra": "note2"}, "it has neither"),
    ],
)
def test_a_former_name_that_nobody_knows(
    shop: Shop, columns: dict[str, str], renamed: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        shop.ingest(columns, renamed_from=renamed)


def test_both_names_were_written(shop: Shop) -> None:
    shop.ingest(RENAMED)
    with pytest.raises(ConfigError, match=r"'amount': 'value': it has both; rows were written"):
        shop.ingest(RENAMED, renamed_from={"amount": "value"})


@pytest.mark.parametrize(
    ("renamed", "said"),
    [
        ({"worth": "value"}, r"\['worth'\] are no columns"),
        ({"value": "note"}, r"\['note'\] are columns"),
        ({"value": "x", "note": "x"}, "each old name once"),
    ],
)
def test_renames_that_do_not_hold(renamed: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        Shop(tmp_path).declared(COLUMNS, renamed_from=renamed)


def test_a_column_that_is_gone_stays_in_the_lake_and_may_come_back(shop: Shop) -> None:
    before, fewer = shop.hash(), {n: t for n, t in COLUMNS.items() if n != "note"}
    shop.deliver("id,at,value\n1,2013-01-02T10:00:00Z,5\n2,2013-01-02T11:00:00Z,6\n")
    assert shop.ingest(fewer)[0].values["unchanged"] is True
    assert shop.hash() == before
    shop.deliver("id,at,value\n3,2013-01-09T10:00:00Z,7\n", day=9, landed=16)
    shop.ingest(fewer, SECOND)
    assert shop.rows("id", "note") == [(1, "a"), (2, "b")]
    assert shop.rows("id", "note", window=SECOND) == [(3, None)]

    shop.deliver("id,at,value\n1,2013-01-02T10:00:00Z,8\n", landed=20)
    assert shop.ingest(fewer)[0].values["s"]["corrections"] == 1
    assert shop.rows("id", "value", "note") == [(1, 5, "a"), (1, 8, None), (2, 6, "b")]

    shop.deliver("id,at,value,note\n3,2013-01-09T10:00:00Z,7,c\n", day=9, landed=21)
    assert shop.ingest(COLUMNS, SECOND)[0].values["s"]["corrections"] == 1
    assert shop.rows("id", "note", window=SECOND) == [(3, "c"), (3, None)]


def test_rows_that_were_staged_before_the_change_are_published_after_it(shop: Shop) -> None:
    shop.deliver("id,at,value,note\n3,2013-01-09T10:00:00Z,7,c\n", day=9)
    told = {"pipeline": "p", "run": "late", "attempt": 1, "window": SECOND}
    staged = ingest.run(
        shop.declared(COLUMNS), Context(task="ingest", environment=shop.environment, **told)
    )
    changed = shop.declared({**RENAMED, "colour": "string?"}, renamed_from={"amount": "value"})
    inputs = {"ingest": staged}
    validate.run(
        changed,
        Context(task="validate", environment=shop.environment, inputs=inputs, **told),
    )
    assert shop.rows("id", "amount", "colour", window=SECOND) == [(3, 7, None)]
    assert shop.rows("id", "amount") == [(1, 5), (2, 6)]


def test_the_quarantine_takes_on_a_column_too(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.deliver(OLD + "3,2013-01-02T12:00:00Z,many,c\n", landed=10)
    assert shop.ingest(COLUMNS)[1].values["s"]["quarantined"] == 1
    held = validate.split

    def graver(*told: Any) -> Any:
        good, entries = held(*told)
        return good, [{**entry, "gravity": "high"} for entry in entries]

    monkeypatch.setattr(validate, "split", graver)
    monkeypatch.setattr(validate, "REASONS", (*validate.REASONS, "gravity"))
    shop.deliver("id,at,value,note\n4,2013-01-09T12:00:00Z,none,c\n5,2013-01-09T12:00:00Z,1,c\n",
                 day=9)  # fmt: skip
    shop.ingest(COLUMNS, SECOND)
    found = shop.lake.read("quarantine.s")
    assert set(found["gravity"].to_pylist()) == {None, "high"}
