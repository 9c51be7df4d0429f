"""What the sections of a pipeline's YAML say of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_tasks.config.pipeline import Pipeline

OWN_COLUMNS = (
    "event_time", "asked_at", "label", "label_known_at", "split",
    "version", "prediction", "outlier", "shadow",
)  # fmt: skip
"""Columns that every training set, or table of predictions, has beside its features."""
CANDIDATE, CHAMPION = "candidate", "champion"
"""Columns that the predictions of an evaluation have beside the key and those of the baselines."""
SEGMENT = "segment_"
"""Begins the name of a set's column with the parts of a segmentation."""


def segment_column(name: str) -> str:
    """Give the column with each row's part of a segmentation of `evaluation.segments`."""
    return f"{SEGMENT}{name}"


def hold(pipeline: Pipeline) -> None:
    """Hold what names something that another section declares against what is declared there.

    Raises:
        ValueError: Something is named that there is not, or called what something else is.
    """
    if pipeline.label.source not in pipeline.sources:
        raise ValueError(
            f"label.source is {pipeline.label.source!r}, wanted {list(pipeline.sources)}"
        )
    if unknown := sorted(set(pipeline.validation.expectations) - set(pipeline.sources)):
        raise ValueError(f"validation.expectations name {unknown}, wanted {list(pipeline.sources)}")
    _label(pipeline)
    _features(pipeline)
    _names(pipeline)


def _label(pipeline: Pipeline) -> None:
    columns, known_at = pipeline.sources[pipeline.label.source].columns, pipeline.label.known_at
    if columns.get(known_at, "").removesuffix("?") != "timestamp":
        raise ValueError(f"label.known_at is {known_at!r}, wanted a timestamp column")


def _features(pipeline: Pipeline) -> None:
    features, source = pipeline.features, pipeline.sources[pipeline.label.source]
    for field in ("columns", "known"):
        if unknown := sorted(set(getattr(features, field)) - set(source.columns)):
            raise ValueError(
                f"features.{field} name {unknown}, wanted some of {sorted(source.columns)}"
            )
    later = {pipeline.label.known_at, *source.known_at} - {source.event_time}
    if late := sorted(later & set(features.known)):
        raise ValueError(f"features.known name {late}, from which on it is known what became")
    if times := [c for c in features.columns if "timestamp" in source.columns[c]]:
        raise ValueError(f"features.columns name {times}, wanted numbers, texts or bools")


def _names(pipeline: Pipeline) -> None:
    """Refuse a name for two things that come to stand in one table."""
    features, evaluation = pipeline.features, pipeline.evaluation
    source = pipeline.sources[pipeline.label.source]
    used = {*features.columns, *source.key} - {"event_time"}
    if taken := sorted(used & set(OWN_COLUMNS)):
        raise ValueError(f"features.columns or key name {taken}, which the set has of its own")
    if taken := sorted(used & {segment_column(name) for name in evaluation.segments}):
        raise ValueError(
            f"features.columns or key name {taken}, wanted other names than the set gives to "
            "evaluation.segments: call these segments otherwise"
        )
    if taken := sorted(set(source.key) & {CANDIDATE, CHAMPION, *evaluation.baselines}):
        raise ValueError(
            f"key names {taken}, as the predictions of an evaluation are called; rename the "
            "columns in the data"
        )
    if taken := sorted(set(features.keys) & {*source.columns, *OWN_COLUMNS}):
        raise ValueError(
            f"features.keys name {taken}, wanted other names than those of columns: a column is "
            "an entity key without standing here"
        )
