"""Judges staged rows: good ones are published, bad ones go to quarantine with the reason."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ml_tasks.config import OWN_TIMES
from ml_tasks.errors import RejectedError
from ml_tasks.io import data_docs, parquet
from ml_tasks.io.control import Control
from ml_tasks.io.data_docs import DataDocs, Section
from ml_tasks.io.evolution import conform, read_as
from ml_tasks.io.expectations import Checked, Fault, check, parted
from ml_tasks.io.lake import Lake
from ml_tasks.io.versions import newest_versions, united
from ml_tasks.sources.schema import raw_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import pyarrow as pa

    from ml_tasks.config import Pipeline, Validation
    from ml_tasks.context import Context
    from ml_tasks.result import Output, Result

log = logging.getLogger(__name__)
REASONS = ("source", "reason", "column", "value", "row", "uri", "window", "run")


@dataclass(frozen=True, kw_only=True, slots=True)
class Came:
    """What ingest staged of one source's window, and what the lake had of it."""

    rows: pa.Table
    """Those that were staged; none of them where nothing is expected of any."""
    rejected: pa.Table
    """What did not fit the schema: `uri`, `reason`, `row`."""
    read: int
    """How many rows came that fit it, also those that the lake had before."""
    key: tuple[str, ...]
    """Columns that name a row."""
    unread: int = 0
    """How many staged rows `rows` goes without."""
    had: pa.Table | None = None
    """The window as it was published, in all versions; `None` where nobody asks for it."""


def split(
    rows: pa.Table, rejected: pa.Table, faults: Sequence[Fault], origin: dict[str, str]
) -> tuple[pa.Table, list[dict[str, str]]]:
    """Part good rows from bad ones.

    Args:
        rows: Staged rows.
        rejected: What did not fit the schema: `uri`, `reason`, `row`.
        faults: What the expectations found in `rows`.
        origin: `source`, `window` and `run`, for the quarantine.

    Returns:
        The good rows, and one quarantine entry for each rejected thing and each fault.
    """
    import pyarrow as pa

    bad = {fault.row for fault in faults if fault.row is not None}
    # When a row became known is not its own: as it comes again, it is the same entry.
    came = rows.drop_columns([name for name in OWN_TIMES if name in rows.column_names])
    entries = [{**one, "column": "", "value": "", **origin} for one in rejected.to_pylist()]
    for fault in faults:
        one = {} if fault.row is None else came.slice(fault.row, 1).to_pylist()[0]
        entries.append(
            {
                "reason": fault.expectation,
                "column": fault.column,
                "value": fault.value,
                "row": json.dumps(one, default=str) if one else "",
                "uri": "",
                **origin,
            }
        )
    if not bad:
        return rows, entries
    keep = pa.array([number not in bad for number in range(rows.num_rows)], pa.bool_())
    return rows.filter(keep), entries


def verdict(entries: list[dict[str, str]], read: int, tolerated: float) -> str | None:
    """Say why a source's window is refused; `None` when it is not.

    Args:
        entries: Its quarantine entries.
        read: How many rows came that fit the schema, also those that the lake had before: where a
            window comes again, its bad rows alone are staged.
        tolerated: Largest share of bad rows that passes.
    """
    for whole in (e for e in entries if not e["row"]):
        if whole["uri"]:
            return (
                f"{whole['uri']}: {whole['reason']}; deliver it again in its place, or take it "
                "away where it should not be, and ingest the window again"
            )
        return f"{whole['reason']} on {whole['column']!r}: came {whole['value'] or 'nothing'}"
    schema_faults = sum(bool(e["uri"]) for e in entries)
    bad = schema_faults + len({e["row"] for e in entries if not e["uri"]})
    total = read + schema_faults
    if not total or bad / total <= tolerated:
        return None
    most = Counter(e["reason"] for e in entries).most_common(3)
    worst = ", ".join(f"{reason} ({count})" for reason, count in most)
    return (
        f"{bad} of {total} rows are bad ({bad / total:.1%}), tolerated are {tolerated:.1%}; "
        f"most often {worst}"
    )


def judge(
    validation: Validation, came: Came, origin: dict[str, str]
) -> tuple[Section, pa.Table, list[dict[str, str]]]:
    """Hold one source's window against what the pipeline expects of it.

    What is expected of each row is held against the staged rows, what is expected of a table as a
    whole against the window as it would be published: each key's newest version, bad rows left out.

    Args:
        validation: What that is.
        came: What was staged, and what there was.
        origin: `source`, `window` and `run`.

    Returns:
        What was found, the good rows, and the quarantine entries.
    """
    source = origin["source"]
    of_rows, of_table = parted(validation.expectations.get(source, ()), source)
    checked = check(came.rows, of_rows, source) if came.rows.num_rows else Checked()
    good, entries = split(came.rows, came.rejected, checked.faults, origin)
    if of_table:
        then = _then(came, good)
        whole = check(then, of_table, source)
        entries += split(then, came.rejected.slice(0, 0), whole.faults, origin)[1]
        checked = Checked((*checked.findings, *whole.findings))
    section = Section(
        source=source,
        staged=came.rows.num_rows + came.unread,
        good=good.num_rows + came.unread,
        rejected=came.rejected.num_rows,
        quarantined=len(entries),
        why=verdict(entries, came.read, validation.tolerated_bad_share),
        findings=checked.findings,
        rejections=data_docs.rejections(came.rejected),
    )
    return section, good, entries


def run(pipeline: Pipeline, context: Context) -> Result:
    """Publish each source's good rows, quarantine the bad ones, and report on both in any case.

    Raises:
        RejectedError: Too many rows of a source are bad, one of its files cannot be read, or the
            window as a whole is not as expected; no source's main has moved.
        ConfigError: A source is declared in a form that its table cannot take on.
    """
    window, lake = context.required_window(), Lake(context.environment)
    control = Control(context.environment.control)
    control.migrate()
    outputs: dict[str, Output] = {}
    values: dict[str, Any] = {"unchanged": True}
    accepted: dict[str, tuple[int, pa.Table, Output | None]] = {}
    sections: list[Section] = []
    for name in pipeline.sources:
        origin = {"source": name, "window": str(window), "run": context.run}
        came = _came(lake, pipeline, context, name)
        section, good, entries = judge(pipeline.validation, came, origin)
        if entries:
            outputs[f"quarantine_{name}"] = _quarantine(lake, control, context, name, entries)
        values[name] = {"published": section.good, "quarantined": len(entries)}
        # What is good as a whole is published as it was staged.
        staged = context.output("ingest", f"staged_{name}") if good is came.rows else None
        accepted[name] = section.good, good, staged
        sections.append(section)
    tolerated = pipeline.validation.tolerated_bad_share
    report = DataDocs(context.pipeline, str(window), tolerated, tuple(sections))
    if report.refused:
        raise RejectedError(
            "; ".join(f"source {s.source}, window {window}: {s.why}" for s in sections if s.why)
            + "; nothing was published, the bad rows are in quarantine; "
            f"see {data_docs.write(report, context).uri}"
        )
    for name, (count, good, staged) in accepted.items():
        table, renamed = f"raw.{name}", pipeline.sources[name].renamed_from
        # Also without rows the table takes on its form of today; the first window makes it.
        if count or lake.evolve(table, good.schema, renamed) is None:
            read = partial(_rows, pipeline, context, name) if count > good.num_rows else None
            outputs[f"raw_{name}"] = _publish(
                lake, control, context, table, good, renamed=renamed, staged=staged, read=read
            )
            values["unchanged"] &= count == 0
        control.published(table, window.start.isoformat(), window.end.isoformat(), context.run)
    outputs["data_docs"] = data_docs.write(report, context)
    log.info("%s: %s", window, values)
    return context.result(outputs=outputs, values=values)


def _came(lake: Lake, pipeline: Pipeline, context: Context, name: str) -> Came:
    source, table = pipeline.sources[name], f"raw.{name}"
    form = raw_schema(source), source.renamed_from
    of_rows, of_table = parted(pipeline.validation.expectations.get(name, ()), name)
    count = context.output("ingest", f"staged_{name}").rows
    looked = of_rows or of_table or count is None
    rows = _rows(pipeline, context, name) if looked else form[0].empty_table()
    unread = 0 if looked else count or 0
    found = lake.find(table) if of_table else None
    return Came(
        rows=rows,
        rejected=_staged(context, f"rejected_{name}"),
        read=context.inputs["ingest"].values.get(name, {}).get("read", rows.num_rows + unread),
        key=source.key,
        unread=unread,
        had=read_as(found, *form, window=context.required_window()) if found is not None else None,
    )


def _rows(pipeline: Pipeline, context: Context, name: str) -> pa.Table:
    # Whoever staged them may have been told otherwise.
    source = pipeline.sources[name]
    return conform(_staged(context, f"staged_{name}"), raw_schema(source), source.renamed_from)


def _then(came: Came, good: pa.Table) -> pa.Table:
    """Give the newest versions of what was published and what is to be."""
    import polars as pl
    import pyarrow as pa

    both = good if came.had is None else pa.concat_tables([came.had, good.cast(came.had.schema)])
    newest = newest_versions(pl.DataFrame(pl.from_arrow(both)), came.key)
    return newest.to_arrow().cast(both.schema)


def _staged(context: Context, name: str) -> pa.Table:
    output = context.output("ingest", name)
    if not output.parts:
        raise RejectedError(f"ingest's output {name} is no object; run ingest again")
    return parquet.read_parts(output.parts)


def _publish(
    lake: Lake,
    control: Control,
    context: Context,
    table: str,
    added: pa.Table,
    *,
    renamed: Mapping[str, str] | None = None,
    without: Collection[str] = (),
    staged: Output | None = None,
    read: Callable[[], pa.Table] | None = None,
) -> Output:
    """Publish the window with what it had and what is added, each row once.

    Args:
        lake: Where the table is.
        control: Gives the lease; another product may publish the same source's window just now.
        context: The window, and who publishes.
        table: `namespace.name`.
        added: What is new.
        renamed: New name of a column and the one before.
        without: Columns that do not count where two rows are the same.
        staged: Where what is new lies, each row once.
        read: Gives what is new, where `added` says no more than its form.
    """
    window, told = context.required_window(), {"run": context.run}
    name = f"{table}/{window}"
    with control.lease_for(context, name, wait=60) as lease:
        if staged and staged.rows:
            done = lake.add(
                table, staged, window, lease,
                schema=added.schema, renamed=renamed, properties=told,
            )  # fmt: skip
            if done:
                return done
        return lake.publish(
            table, read() if read else added, window, lease,
            renamed=renamed, merge=partial(united, without=without), properties=told,
        )  # fmt: skip


def _quarantine(
    lake: Lake, control: Control, context: Context, name: str, entries: list[dict[str, str]]
) -> Output:
    import pyarrow as pa

    start = context.required_window().start
    columns = {n: pa.array([e[n] for e in entries], pa.string()) for n in REASONS}
    times = pa.array([start] * len(entries), pa.timestamp("us", "UTC"))
    table = pa.table({"event_time": times, **columns})
    return _publish(lake, control, context, f"quarantine.{name}", table, without=("run",))
