from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from ml_tasks.context import Context
from ml_tasks.io import data_docs, objects
from ml_tasks.io.data_docs import NUM_EXAMPLES, NUM_REASONS, DataDocs, Section, rejections
from ml_tasks.io.expectations import LONGEST, Finding, check

if TYPE_CHECKING:
    from ml_tasks.config import Environment

HOSTILE = "<script>alert('1')</script>\"><img src=x onerror=alert(1)>"
FINE = Section(source="flights", staged=90, good=89, rejected=10, quarantined=12, why=None)
REFUSED = replace(FINE, source="weather", why="too many")


class Page(HTMLParser):
    """Collects what a browser would see as text, tags and addresses."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


def table(values: list[object], reason: str = "broken") -> pa.Table:
    count = len(values)
    return pa.table({"uri": ["file:///x"] * count, "reason": [reason] * count, "row": values})


def page(*sections: Section, run: str = "r", pipeline: str = "p") -> str:
    report = DataDocs(pipeline, "2013-01-01/2013-01-08", 0.25, sections)
    return data_docs.render(report, run=run, attempt=3)


@pytest.mark.parametrize(
    ("sections", "verdict", "fates", "published"),
    [
        ((FINE,), "published", ["published"], 89),
        ((FINE, REFUSED), "refused", ["held back", "refused"], 0),
        ((replace(FINE, staged=0, good=0, rejected=0),), "nothing new", ["nothing new"], 0),
        ((FINE, replace(FINE, good=0)), "published", ["published", "nothing new"], 89),
        ((), "nothing new", [], 0),
    ],
)
def test_one_refused_source_holds_back_the_others(
    sections: tuple[Section, ...], verdict: str, fates: list[str], published: int
) -> None:
    report = DataDocs("p", "w", 0.1, sections)
    assert report.verdict == verdict
    assert [report.fate(section) for section in sections] == fates
    assert report.counts["published"] == published


def test_the_bad_share_counts_what_never_got_staged() -> None:
    assert FINE.bad_share == pytest.approx(0.11)
    assert replace(FINE, staged=0, good=0, rejected=0).bad_share == 0


def test_rejections_are_summed_up_by_reason() -> None:
    parts = [table(["?"] * (n + 1), f"reason {n:02}") for n in range(NUM_REASONS + 2)]
    found = rejections(pa.concat_tables(parts))
    assert len(found) == NUM_REASONS
    assert (found[0].reason, found[0].count) == (f"reason {NUM_REASONS + 1}", NUM_REASONS + 2)
    assert len(found[0].examples) == NUM_EXAMPLES
    assert rejections(table(["x" * 9999]))[0].examples == (("file:///x", "x" * LONGEST),)
    assert rejections(table(["b"], "b").slice(1)) == ()


def test_everything_found_is_on_the_page() -> None:
    rows = pa.table({"v": [1.0, 99.0, None, -4.0, 99.0], "c": ["a", "b", "b", "c", "c"]})
    expectations = (
        {"type": "expect_column_values_to_be_between", "column": "v", "min_value": 0},
        {"type": "expect_column_mean_to_be_between", "column": "v", "max_value": 10},
        {"type": "expect_column_values_to_not_be_null", "column": "v", "mostly": 0.5},
    )
    findings = check(rows, expectations, "s").findings
    shown = Page(
        page(
            replace(
                REFUSED,
                staged=12345,
                findings=findings,
                rejected=30,
                rejections=rejections(table(["a line"] * 29)),
            ),
            run="scheduled__1",
        )
    ).text
    for wanted in (
        *("2013-01-01/2013-01-08", "refused", "scheduled__1", "Attempt3", "25.00%", "too many"),
        *("12,345", "1 of 3", "expect_column_values_to_be_between", "min_value = 0", "-4.0"),
        *("25.00%", "48.75", "mostly = 0.5", "20.00%", "missing", "broken", "29", "a line"),
        *("file:///x", "1 more, for less frequent reasons"),
    ):
        assert wanted in re.sub(r"\n+", "", shown), wanted


def test_whatever_came_stays_text() -> None:
    finding = Finding(HOSTILE, {HOSTILE: [HOSTILE]}, False, HOSTILE, 1, 0.5, (HOSTILE,))
    section = replace(
        REFUSED,
        source=HOSTILE,
        why=HOSTILE,
        findings=(finding,),
        rejections=rejections(table([HOSTILE], HOSTILE)),
    )
    shown = Page(page(section, run=HOSTILE, pipeline=HOSTILE))
    assert not {"script", "img"} & set(shown.tags)
    assert shown.text.count(HOSTILE) >= 10


def test_the_page_needs_nothing_from_elsewhere() -> None:
    html = page(FINE, replace(REFUSED, rejections=rejections(table(["?"]))))
    shown = Page(html)
    assert shown.addresses == ["#source-1", "#source-2"]
    assert not {"link", "script", "img", "iframe"} & set(shown.tags)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", html.replace("file:///x", ""))
    assert "prefers-color-scheme: dark" in html


def test_only_findings_count_for_the_hash(environment: Environment) -> None:
    def context(run: str, attempt: int) -> Context:
        return Context(
            task="validate", pipeline="p", run=run, attempt=attempt, environment=environment
        )

    report = DataDocs("p", "w", 0.1, (FINE,))
    first = data_docs.write(report, context("a", 1))
    again = data_docs.write(report, context("b", 2))
    other = data_docs.write(DataDocs("p", "w", 0.1, (REFUSED,)), context("a", 3))
    assert first.content_hash == again.content_hash != other.content_hash
    assert first.uri == f"{environment.objects_root}/runs/p/a/validate/1/data_docs.html"
    told = json.loads(objects.read_text(first.uri.replace(".html", ".json")))
    assert (told["verdict"], told["window"], told["counts"]) == (
        "published",
        "w",
        {"staged": 90, "published": 89, "quarantined": 12},
    )
