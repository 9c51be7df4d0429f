"""A champion beside the one before it: graded on the same rows, withdrawn where it is worse.

Two models of real orders: one knows the price, on which most depends; the other the shop alone.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from ml_tasks import decide, monitor
from ml_tasks.config import Environment, Monitoring, Pipeline
from ml_tasks.context import Context
from ml_tasks.io import objects, predictions
from ml_tasks.io.control import Control
from ml_tasks.io.lake import Lake
from ml_tasks.io.ledger import Paid
from ml_tasks.result import RESULT, Result, Window
from ml_tasks.training import champion
from tests.shop import returns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Chain = Callable[..., dict[str, Result]]

LEARNED = Window.parse("2024-01-01/2024-01-29")
WEEKS = tuple(
    Window(start=LEARNED.end + timedelta(weeks=n), end=LEARNED.end + timedelta(weeks=n + 1))
    for n in range(9)
)
A_DAY = 60
INGESTION = ("ingest", "validate", "derive", "materialise")
TRAINING = ("claim", "assemble", "prove", "train", "baseline", "evaluate", "judge", "reference")
WATCHING = ("score", "monitor", "decide")


def deliver(folder: Path) -> None:
    """Lay down orders: whether one comes back depends on the price, and a little on the shop."""
    dice = np.random.default_rng(5)
    days = (WEEKS[-1].end - LEARNED.start).days
    number, price = days * A_DAY, dice.normal(10, 3, days * A_DAY)
    shop = dice.choice(["north", "south", "east"], number)
    mood = np.repeat(dice.normal(0, 0.2, days), A_DAY)
    chance = 1 / (1 + np.exp(-(0.6 * (price - 10) + (shop == "east") * 0.7 + mood)))
    minutes = np.tile(np.arange(A_DAY) * 20, days) + np.repeat(np.arange(days) * 24 * 60, A_DAY)
    orders = pl.DataFrame(
        {"id": np.arange(number).astype(str), "price": price, "shop": shop,
         "returned": dice.random(number) < chance}
    ).with_columns(
        (pl.lit(LEARNED.start) + pl.duration(minutes=pl.Series(minutes))).alias("at")
    )  # fmt: skip
    place = folder / f"landed={WEEKS[-1].end:%Y-%m-%dT00:00:00}"
    place.mkdir()
    orders.write_parquet(place / "orders.parquet")


def product(folder: Path, columns: list[str]) -> Pipeline:
    return Pipeline.model_validate(
        returns(
            folder.as_uri(),
            features={"columns": columns},
            split={"validation_days": 4, "test_days": 7},
            training={
                "model": "mlp", "params": {"hidden": [4]}, "epochs": 5, "batch_size": 64,
                "learning_rate": 0.02,
            },
            evaluation={
                "metric": "roc_auc", "bootstrap_samples": 200,
                "gates": [{"name": "floor", "params": {"metric": "roc_auc", "minimum": 0.4}}],
            },
            monitoring={
                "engine": "scipy", "drift": [{"test": "ks"}],
                "retraining": {
                    "policies": [{"name": "schedule", "params": {"days": 1}}],
                    "cool_down_days": 14, "most_a_month": 9,
                },
            },
        )
    )  # fmt: skip


class Shop:
    """A product with two models that were trained and judged, and eight weeks to come."""

    def __init__(self, environment: Environment, folder: Path, chain: Chain) -> None:
        self.environment, self.chain = environment, chain
        self.control = Control(environment.control)
        self.pipeline = product(folder, ["price", "shop"])
        self.name, self.verdicts = self.pipeline.name, {}
        whole = Window(start=LEARNED.start, end=WEEKS[-1].end)
        chain(self.pipeline, environment, "ingestion", name="in", window=whole, tasks=INGESTION)
        for run, made in (("poor", product(folder, ["shop"])), ("good", self.pipeline)):
            trigger, _ = self.control.ask(
                self.name, run, str(LEARNED), who="test", evidence={"predicted_gain": 0.1}
            )
            done = chain(
                made, environment, "training", name=run, window=LEARNED, tasks=TRAINING,
                trigger=trigger.id,
            )  # fmt: skip
            self.control.finish(trigger.id, "judged")
            self.verdicts[run] = done["judge"].outputs["verdict"].uri

    def promote(self, version: str, run: str, expected: str | None) -> None:
        self.control.promote(
            self.name, version, expected=expected, run=run, verdict_uri=str(self.verdicts[run]),
            who="judge", why="all gates passed",
        )  # fmt: skip

    def watch(self, week: Window, **settings: Any) -> dict[str, Result]:
        pipeline = self.pipeline.model_copy(update=settings)
        return self.chain(
            pipeline, self.environment, "monitoring", name=f"w{week.slug}", window=week,
            tasks=WATCHING,
        )  # fmt: skip

    def decide(self, week: Window, run: str, attempt: int = 1, **settings: Any) -> Result:
        return decide.run(
            self.pipeline.model_copy(update=settings),
            Context(
                task="decide", pipeline=self.name, run=run, attempt=attempt,
                environment=self.environment, window=week,
            ),
        )  # fmt: skip

    @property
    def champion(self) -> str:
        head = self.control.champion(self.name)
        assert head is not None
        return head.version

    def said(self, week: Window) -> pl.DataFrame:
        (rows,) = predictions.read(Lake(self.environment), self.name, week)
        return rows


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, chain: Chain) -> Shop:
    folder = tmp_path_factory.mktemp("orders")
    deliver(folder)
    home = tmp_path_factory.mktemp("home")
    return Shop(Environment(home=home, mlflow_url="http://127.0.0.1:9"), folder, chain)


@pytest.fixture(scope="module")
def good(shop: Shop) -> list[dict[str, Result]]:
    """A champion that is better than the one before it, for five weeks."""
    shop.promote("1", "poor", None)
    shop.promote("2", "good", "1")
    return [shop.watch(week) for week in WEEKS[:5]]


def test_the_champion_before_predicts_on_for_so_many_windows(
    shop: Shop, good: list[dict[str, Result]]
) -> None:
    assert [done["score"].values for done in good] == [
        *({"version": "2", "rows": 7 * A_DAY, "shadows": ["1"]} for _ in range(4)),
        {"version": "2", "rows": 7 * A_DAY, "shadows": []},
    ]
    rows = shop.said(WEEKS[0])
    assert dict(rows.group_by("version", "shadow").len().select("version", "len").iter_rows()) == {
        "1": 7 * A_DAY, "2": 7 * A_DAY,
    }  # fmt: skip
    assert rows.filter("shadow")["version"].unique().to_list() == ["1"]
    assert rows.filter("shadow")["price"].is_null().all(), "it does not take that in"


def test_looks_alarms_and_decisions_are_the_champions_alone(
    shop: Shop, good: list[dict[str, Result]]
) -> None:
    assert {look.version for look in shop.control.looks(shop.name, version="")} >= {"2"}
    assert shop.control.looks(shop.name, version="1") == []
    assert shop.control.alarms(shop.name, version="1") == []
    measured = {(m.version, m.kind) for m in shop.control.measures(shop.name)}
    assert measured == {("1", "realised"), ("2", "realised"), ("2", "estimated")}


def brute_force(shop: Shop, windows: tuple[Window, ...], ours: str, theirs: str) -> float:
    """Give the difference of AUC by counting each pair of a one and a zero."""
    raw = pl.DataFrame(pl.from_arrow(Lake(shop.environment).read("raw.orders")))
    truth = dict(raw.select("id", "returned").iter_rows())
    said = pl.concat([shop.said(window) for window in windows])

    def auc(version: str) -> float:
        own = said.filter(pl.col("version") == version)
        y = np.array([truth[one] for one in own["id"]])
        ones, zeros = own["prediction"].to_numpy()[y], own["prediction"].to_numpy()[~y]
        above = (ones[:, None] > zeros).sum() + (ones[:, None] == zeros).sum() / 2
        return float(above / (len(ones) * len(zeros)))

    return auc(ours) - auc(theirs)


def test_the_ledgers_gain_is_what_brute_force_counts(
    shop: Shop, good: list[dict[str, Result]]
) -> None:
    first, second = shop.control.ledger(shop.name)[:2]
    assert (first.paid, first.realised_gain) == (Paid.FIRST, None)
    assert (second.version, second.before, second.windows, second.wanted) == ("2", "1", 4, 4)
    assert (second.rows, second.predicted_gain) == (4 * 7 * A_DAY, 0.1)
    assert second.realised_gain == pytest.approx(brute_force(shop, WEEKS[:4], "2", "1"))
    assert second.low is not None
    assert 0.05 < second.low < second.realised_gain
    assert second.paid is Paid.YES
    each = [grade for grade in shop.control.grades(shop.name) if grade.windows == 1]
    assert [grade.start[:10] for grade in each] == [f"{w.start:%Y-%m-%d}" for w in WEEKS[:4]]
    for grade, week in zip(each, WEEKS, strict=False):
        assert grade.value == pytest.approx(brute_force(shop, (week,), "2", "1"))


def test_a_good_champion_stays(shop: Shop, good: list[dict[str, Result]]) -> None:
    assert shop.champion == "2"
    assert [done["decide"].values["rollback"] for done in good] == [None] * 5
    assert {e.action for e in shop.control.audit(shop.name)} == {"promote"}


@pytest.fixture(scope="module")
def bad(shop: Shop, good: list[dict[str, Result]]) -> list[dict[str, Result]]:
    """A champion that is worse than the one before it, for three weeks."""
    shop.promote("3", "poor", "2")
    return [shop.watch(week) for week in WEEKS[5:8]]


def test_a_bad_champion_gives_way_once_enough_is_known(
    shop: Shop, bad: list[dict[str, Result]]
) -> None:
    assert [done["score"].values["version"] for done in bad] == ["3", "3", "2"]
    assert [done["decide"].values["rollback"] is None for done in bad] == [True, False, True]
    assert shop.champion == "2"
    entry = shop.control.audit(shop.name)[-1]
    assert (entry.action, entry.who) == ("rollback", f"w{WEEKS[6].slug}/decide")
    assert bad[1]["decide"].values["rollback"] == {"audit": entry.number, **entry.detail}
    assert entry.detail["window"] == str(WEEKS[6])
    assert entry.detail["difference"] == pytest.approx(brute_force(shop, WEEKS[5:7], "3", "2"))
    assert entry.detail["high"] < 0
    assert "roc_auc of version 3 is 0." in entry.why
    assert f"than that of 2 on the same {2 * 7 * A_DAY} rows of 2 windows" in entry.why
    assert shop.control.verify_audit() is None


def test_after_a_rollback_it_is_graded_on_and_no_training_follows_at_once(
    shop: Shop, bad: list[dict[str, Result]]
) -> None:
    assert bad[2]["score"].values["shadows"] == ["3"]
    last = shop.control.grades(shop.name, version="3")[-1]
    assert (last.windows, last.rows) == (3, 3 * 7 * A_DAY)
    assert "cool-down of 14 days since the rollback of 2024-03-18" in bad[1]["decide"].values["why"]
    assert bad[1]["decide"].values["trigger"] is None


def test_the_training_that_follows_knows_what_went_before(
    shop: Shop, bad: list[dict[str, Result]]
) -> None:
    eager = shop.pipeline.monitoring.retraining.model_copy(update={"cool_down_days": 7})
    monitoring = shop.pipeline.monitoring.model_copy(update={"retraining": eager})
    done = shop.watch(WEEKS[7], monitoring=monitoring)
    trigger = shop.control.trigger(done["decide"].values["trigger"])
    assert trigger.evidence["rolled_back"].startswith("version 3: roc_auc of version 3 is 0.")


@pytest.mark.parametrize("attempt", [1, 2])
def test_who_decides_that_window_again_finds_the_same_and_moves_nothing(
    shop: Shop, bad: list[dict[str, Result]], attempt: int
) -> None:
    entries, triggers = shop.control.audit(shop.name), shop.control.triggers(shop.name)
    for run in (f"w{WEEKS[6].slug}", "another"):
        again = shop.decide(WEEKS[6], run, attempt)
        assert again.values["rollback"] == bad[1]["decide"].values["rollback"]
    shop.decide(WEEKS[5], "earlier")
    assert shop.decide(WEEKS[7], "later").values["rollback"] is None
    assert shop.control.audit(shop.name) == entries
    assert [t for t in shop.control.triggers(shop.name) if t.cause != "monitor"] == [
        t for t in triggers if t.cause != "monitor"
    ]


def test_late_rows_are_predicted_by_both_and_nothing_is_said_twice(
    shop: Shop, bad: list[dict[str, Result]]
) -> None:
    before = shop.said(WEEKS[7])
    shop.watch(WEEKS[7])
    assert shop.said(WEEKS[7]).equals(before)
    assert before.select("id", "version").is_duplicated().sum() == 0
    assert before.filter(~pl.col("shadow"))["id"].is_duplicated().sum() == 0


def test_whoever_was_champion_before_is_measured_while_labels_come(
    shop: Shop, bad: list[dict[str, Result]]
) -> None:
    """Also where the new one learned up to yesterday, from those very windows."""
    head = shop.control.champion(shop.name)
    assert head is not None
    root = shop.environment.run_folder(shop.name, head.run)
    (made,) = [o.uri for o in objects.find(f"{root}/assemble") if o.uri.endswith(RESULT)]
    later = Window(start=LEARNED.start, end=WEEKS[6].end)
    told = objects.read_result(made).model_copy(update={"window": later, "run": "newer"})
    objects.write_result(made.replace(f"/{head.run}/", "/newer/"), told)
    newer = replace(head, run="newer")
    assert champion.learned(shop.environment, newer) == later
    context = Context(
        task="monitor", pipeline=shop.name, run="w", attempt=1, environment=shop.environment,
        window=WEEKS[7],
    )  # fmt: skip
    seen = monitor._seen(shop.pipeline, context, shop.control, newer, timedelta(days=14))
    assert WEEKS[5].start <= seen.rows["event_time"].min() < WEEKS[6].start


def test_a_shadow_that_is_gone_stops_nothing(shop: Shop, bad: list[dict[str, Result]]) -> None:
    shop.promote("4", "poor", "2")
    shop.promote("5", "good", "4")
    root = shop.environment.run_folder(shop.name, "poor")
    for one in objects.find(f"{root}/train"):
        objects.delete(one.uri)
    done = shop.watch(WEEKS[8])
    assert done["score"].values == {"version": "5", "rows": 7 * A_DAY, "shadows": []}
    assert done["decide"].values["rollback"] is None
    assert shop.control.grades(shop.name, version="5") == []


def test_what_the_intake_asks_for_meanwhile_is_not_asked_for_again(
    shop: Shop, bad: list[dict[str, Result]], monkeypatch: pytest.MonkeyPatch
) -> None:
    decided, window = decide.decide, f"{WEEKS[0].start:%Y-%m-%d}/{WEEKS[8].end:%Y-%m-%d}"

    def meanwhile(*told: Any) -> decide.Decision:
        found = decided(*told)
        assert found.train
        shop.control.ask(shop.name, "outside", window, who="intake", evidence={})
        return found

    monkeypatch.setattr(decide, "decide", meanwhile)
    eager = shop.pipeline.monitoring.retraining.model_copy(update={"cool_down_days": 0})
    monitoring = shop.pipeline.monitoring.model_copy(update={"retraining": eager})
    values = shop.decide(WEEKS[8], "late", monitoring=monitoring).values
    assert (values["train"], values["trigger"]) == (False, None)
    assert values["why"] == f"a training up to {WEEKS[8].end:%Y-%m-%d} was asked for already"


def test_too_few_graded_windows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rollback.windows: came 2, but only 1 are graded"):
        Monitoring.model_validate({"retraining": {"graded_windows": 1}})
    told: dict[str, Any] = {"retraining": {"graded_windows": 1}, "rollback": {"automatic": False}}
    assert not Monitoring.model_validate(told).rollback.automatic
    assert Monitoring.model_validate({"retraining": {"graded_windows": 0}}).rollback.automatic
