"""Holds rows against a Great Expectations suite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

NUM_SAMPLES = 5
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Fault:
    """One expectation that a row, or the table as a whole, does not meet."""

    expectation: str
    column: str
    value: str
    row: int | None
    """Position of the row; `None` where the table as a whole is at fault."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one expectation came to."""

    expectation: str
    arguments: dict[str, Any]
    success: bool
    observed: str
    """What was measured of the table as a whole; empty where values are judged one by one."""
    unexpected: int | None
    """How many values do not fit; `None` where the table is judged as a whole."""
    share: float | None
    """Their share of the values that are not missing."""
    samples: tuple[str, ...]
    """The first unexpected values, each once, in the order of rows."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a suite came to, in the order of expectations and rows."""

    findings: tuple[Finding, ...] = ()
    faults: tuple[Fault, ...] = ()


def parted(
    expectations: Sequence[dict[str, Any]], name: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Part what is expected of each row from what is expected of a table as a whole.

    Args:
        expectations: Each a `type` (snake case) and the expectation's own arguments.
        name: What the rows are, for messages.

    Raises:
        ConfigError: An expectation does not exist.
    """
    if not expectations:
        return [], []
    from great_expectations.expectations import expectation as kinds

    by_row = (
        kinds.ColumnMapExpectation,
        kinds.ColumnPairMapExpectation,
        kinds.MulticolumnMapExpectation,
    )
    rows = [issubclass(_kind(str(e.get("type", "")), name), by_row) for e in expectations]
    return (
        [e for e, of_row in zip(expectations, rows, strict=True) if of_row],
        [e for e, of_row in zip(expectations, rows, strict=True) if not of_row],
    )


def check(rows: pa.Table, expectations: Sequence[dict[str, Any]], name: str) -> Checked:
    """Give what each expectation came to, and every fault of the rows.

    Args:
        rows: Any table.
        expectations: Each a `type` (snake case) and the expectation's own arguments.
        name: What the rows are, for messages.

    Raises:
        ConfigError: An expectation does not exist, or its arguments do not fit.
    """
    if not expectations:
        return Checked()
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    suite = gx.ExpectationSuite(name=name)
    known = suite_of(expectations, rows.column_names, name)
    for expectation in known:
        suite.add_expectation(expectation)
    # Added to the context before, the suite would be stored once for each expectation.
    suite = context.suites.add(suite)
    # A suite takes an expectation once; its twin gets no id. Results come grouped by column.
    added = [expectation.id for expectation in known]
    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    # Without metadata the index counts the rows, whatever wrote them.
    frame = rows.to_pandas(integer_object_nulls=True, ignore_metadata=True)
    whole = asset.add_batch_definition_whole_dataframe(name)
    # A validation definition would also store the outcome as JSON, which quantiles are not.
    outcome = whole.get_batch(batch_parameters={"dataframe": frame}).validate(
        suite,
        result_format={"result_format": "COMPLETE", "return_unexpected_index_query": False},
    )
    by_id = {result.expectation_config.id: result for result in outcome.results}
    found = [(by_id[i], wanted) for i, wanted in zip(added, expectations, strict=True) if i]
    return Checked(
        tuple(_finding(result, wanted, name) for result, wanted in found),
        tuple(fault for result, _ in found for fault in _faults(result, rows)),
    )


def suite_of(
    expectations: Sequence[dict[str, Any]], columns: Sequence[str], name: str
) -> list[Any]:
    """Give expectations as the library's own objects, in their order.

    Args:
        expectations: Each a `type` (snake case) and the expectation's own arguments.
        columns: Names of the columns that there are.
        name: What the rows are, for messages.

    Raises:
        ConfigError: An expectation does not exist, or its arguments do not fit.
    """
    return [_expectation(wanted, columns, name) for wanted in expectations]


def _expectation(wanted: dict[str, Any], columns: Sequence[str], name: str) -> Any:
    from pydantic.v1 import ValidationError

    arguments = dict(wanted)
    kind = str(arguments.pop("type", ""))
    found = _kind(kind, name)
    column = arguments.get("column")
    if column is not None and column not in columns:
        raise ConfigError(
            f"validation.expectations.{name}: {kind}: came column {column!r}, "
            f"wanted one of {sorted(columns)}"
        )
    try:
        return found(**arguments)
    except ValidationError as fault:
        lines = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in fault.errors())
        raise ConfigError(f"validation.expectations.{name}: {kind}: {lines}") from fault


def _kind(kind: str, name: str) -> Any:
    import great_expectations.expectations as gxe

    found = getattr(gxe, "".join(part.capitalize() for part in kind.split("_")), None)
    if found is None:
        raise ConfigError(
            f"validation.expectations.{name}: came type {kind!r}, wanted one of Great "
            "Expectations, such as expect_column_values_to_not_be_null"
        )
    return found


def _finding(result: Any, wanted: dict[str, Any], name: str) -> Finding:
    kind, told = result.expectation_config.type, result.result
    if message := _exception(result.exception_info):
        raise ConfigError(f"validation.expectations.{name}: {kind}: {message}")
    percent = told.get("unexpected_percent")
    unexpected = map(_sample, told.get("partial_unexpected_list") or ())
    return Finding(
        expectation=kind,
        arguments={key: value for key, value in wanted.items() if key != "type"},
        success=bool(result.success),
        observed=_shown(told.get("observed_value")),
        unexpected=told.get("unexpected_count"),
        share=None if percent is None else percent / 100,
        samples=tuple(dict.fromkeys(unexpected))[:NUM_SAMPLES],
    )


def _exception(info: dict[str, Any]) -> str:
    """Give what kept an expectation from being judged; the library nests it by metric or not."""
    for told in (info, *info.values()):
        if isinstance(told, dict) and told.get("raised_exception"):
            return " ".join(str(told.get("exception_message")).split())
    return ""


def _faults(result: Any, rows: pa.Table) -> list[Fault]:
    if result.success:
        return []
    kind, told = result.expectation_config.type, result.result
    given = result.expectation_config.kwargs
    column = str(given.get("column", ""))
    places = told.get("unexpected_index_list")
    if not places:
        observed = told.get("observed_value")
        came = told.get("partial_unexpected_list") if observed is None else observed
        return [Fault(kind, column, _shown(came), None)]
    # The library's own list of values ends at 200, that of places does not.
    names = [given[n] for n in ("column", "column_A", "column_B") if n in given]
    read = rows.select(names or given.get("column_list", [])).take(places).to_pylist()
    values = [tuple(row.values()) for row in read]
    return [
        Fault(kind, column, _sample(value[0] if len(value) == 1 else value), int(place))
        for place, value in zip(places, values, strict=True)
    ]


def _shown(value: Any) -> str:
    """Give a value as text of limited length; nothing gives none."""
    text = "" if value is None else str(_plain(value))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _sample(value: Any) -> str:
    # Only what is missing (NaN, NaT) differs from itself.
    return "missing" if value is None or value != value else _shown(value)


def _plain(value: Any) -> Any:
    """Turn numpy's scalars into Python's, also within tuples, lists and mappings."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    return value.item() if hasattr(value, "item") else value
