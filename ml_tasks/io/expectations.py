"""Holds rows against a Great Expectations suite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

_ROW = "_row"


@dataclass(frozen=True, slots=True)
class Fault:
    """One expectation that a row, or the table as a whole, does not meet."""

    expectation: str
    column: str
    value: str
    row: int | None
    """Position of the row; `None` where the table as a whole is at fault."""


def check(rows: pa.Table, expectations: Sequence[dict[str, Any]], name: str) -> list[Fault]:
    """Give every fault of the rows, in the order of expectations and rows.

    Args:
        rows: Any table.
        expectations: Each a `type` (snake case) and the expectation's own arguments.
        name: What the rows are, for messages.

    Raises:
        ConfigError: An expectation does not exist, or its arguments do not fit.
    """
    if not expectations or not rows.num_rows:
        return []
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    suite = context.suites.add(gx.ExpectationSuite(name=name))
    for wanted in expectations:
        suite.add_expectation(_expectation(wanted, rows.column_names, name))
    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    definition = gx.ValidationDefinition(
        name=name, data=asset.add_batch_definition_whole_dataframe(name), suite=suite
    )
    frame = rows.to_pandas(integer_object_nulls=True)
    frame[_ROW] = range(len(frame))
    outcome = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": frame},
        result_format={
            "result_format": "COMPLETE",
            "unexpected_index_column_names": [_ROW],
            "return_unexpected_index_query": False,
        },
    )
    return [fault for result in outcome.results for fault in _faults(result, name)]


def _expectation(wanted: dict[str, Any], columns: Sequence[str], name: str) -> Any:
    import great_expectations.expectations as gxe
    from pydantic.v1 import ValidationError

    arguments = dict(wanted)
    kind = str(arguments.pop("type", ""))
    found = getattr(gxe, "".join(part.capitalize() for part in kind.split("_")), None)
    if found is None:
        raise ConfigError(
            f"validation.expectations.{name}: came type {kind!r}, wanted one of Great "
            "Expectations, such as expect_column_values_to_not_be_null"
        )
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


def _faults(result: Any, name: str) -> list[Fault]:
    if result.success:
        return []
    kind = result.expectation_config.type
    column = str(result.expectation_config.kwargs.get("column", ""))
    if result.exception_info.get("raised_exception"):
        message = result.exception_info.get("exception_message")
        raise ConfigError(f"validation.expectations.{name}: {kind}: {message}")
    places = result.result.get("unexpected_index_list")
    if not places:
        observed = str(result.result.get("observed_value", ""))
        return [Fault(kind, column, observed, None)]
    return [Fault(kind, column, str(p.get(column, "")), int(p[_ROW])) for p in places]
