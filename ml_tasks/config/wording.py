"""Faults of configuration in words: where, what came, what was wanted."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

LONGEST = 120
WANTED = {
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "a text",
    "string_too_short": "a text of at least {min_length} characters",
    "string_too_long": "a text of at most {max_length} characters",
    "string_pattern_mismatch": "a text that matches {pattern}",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "date_type": "a day such as 2013-01-31",
    "date_parsing": "a day such as 2013-01-31",
    "date_from_datetime_parsing": "a day such as 2013-01-31",
    "too_short": "at least {min_length} of them",
    "literal_error": "{expected}",
    "greater_than": "a number greater than {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number less than {lt}",
    "less_than_equal": "a number of at most {le}",
}
"""By pydantic's name of a fault: what it wanted."""
MISSING = "came nothing, wanted a value: the key is required"
SLUG = "lower case letters, digits and _, two at least, beginning with a letter"


def explain(
    fault: ValidationError,
    where: str,
    model: type[BaseModel] | None = None,
    *,
    most: int | None = None,
) -> str:
    """Give one line a fault: where, key, what came, what was wanted.

    Args:
        fault: What pydantic found.
        where: File, section or variable.
        model: What was wanted as a whole: for a key that is misspelt it tells the right one.
        most: So many of them at the most, and how many more there are; all when not given.
    """
    errors = [error for error in fault.errors(include_url=False) if not _follows(error)]
    lines = [_line(error, where, model) for error in errors[:most]]
    return "\n".join([*lines, *beyond(len(errors), most)])


def explain_variables(fault: ValidationError) -> str:
    """Give one line a fault of the environment, each with the variable that is wrong."""
    lines = []
    for error in fault.errors(include_url=False):
        name = str(error["loc"][0])  # of a field, or of a variable that is not called after it
        variable = name if name.isupper() else f"PERENNIAL_{name.upper()}"
        named: ErrorDetails = {**error, "loc": (variable,)}
        lines.append(_line(named, "environment", None))
    return "\n".join(lines)


def beyond(count: int, most: int | None) -> list[str]:
    """Say how many there are beyond those that are shown; nothing where all are."""
    return [] if most is None or count <= most else [f"and {count - most} more"]


def _follows(error: ErrorDetails) -> bool:
    """Tell whether a list is only too short because what is wrong in it does not count."""
    came = error["input"]
    return (
        error["type"] == "too_short"
        and isinstance(came, (list, tuple, dict))
        and len(came) >= error["ctx"]["min_length"]
    )


def _line(error: ErrorDetails, where: str, model: type[BaseModel] | None) -> str:
    place = [str(part) for part in error["loc"] if part != "[key]"]
    key = ".".join(place) or "(whole file)"
    if error["type"] == "missing":
        return f"{where}: {key}: {MISSING}"
    if error["type"].startswith("union_tag"):
        return f"{where}: {key}.{_kind(error['ctx'])}"
    if error["type"] == "invalid_key" or (error["loc"][-1:] == ("[key]",) and _no_word(error)):
        section = ".".join(place[:-1]) or "(whole file)"
        return f"{where}: {section}: came the key {_as_key(error['input'])}"
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(place[-1], _keys(model, place[:-1]), 1)
        meant = f", such as {close[0]!r}" if close else ""
        return (
            f"{where}: {key}: came an unknown key, wanted a key of the schema "
            f"(perennial config schema){meant}"
        )
    told = error["msg"].removeprefix("Value error, ")
    if ", wanted " in told:  # it says itself what came
        return f"{where}: {key}: {told}"
    return f"{where}: {key}: came {_shown(error['input'])}, wanted {_wanted(error, told)}"


def _kind(given: Mapping[str, Any]) -> str:
    """Say what is wrong with the key that tells which of several sections one is."""
    key = given["discriminator"].strip("'")
    if "tag" not in given:
        return f"{key}: {MISSING}"
    known = given["expected_tags"].replace("'", "")
    return f"{key}: came {given['tag'][:LONGEST]!r}, wanted one of {known}"


def _no_word(error: ErrorDetails) -> bool:
    return not isinstance(error["input"], str)


def _as_key(came: object) -> str:
    """Say what is wrong with a key that YAML reads as something else than a text."""
    if isinstance(came, bool):
        words = "on, yes and true" if came else "off, no and false"
        said = str(came).lower()
        return f"{said}, wanted a text: YAML reads {words} as {said} where no quotes stand"
    return f"{_shown(came)}, wanted a text: put it in quotes"


def _wanted(error: ErrorDetails, told: str) -> str:
    given: Mapping[str, Any] = error.get("ctx", {})
    if error["type"] == "string_pattern_mismatch" and "[a-z][a-z0-9_]" in str(given["pattern"]):
        return SLUG
    known = WANTED.get(error["type"])
    return known.format(**given) if known else told


def _shown(came: object) -> str:
    """Give what came; of a whole section its keys, which is where to look."""
    if isinstance(came, dict) and came:
        return f"a section of {', '.join(map(str, came))}"[:LONGEST]
    return repr(came)[:LONGEST]


def _keys(model: type[BaseModel] | None, place: Sequence[str]) -> list[str]:
    """Give the keys of the section at a place of a model."""
    for part in place:
        if model is not None and part in model.model_fields:
            model = _section(model.model_fields[part].annotation)
    return [] if model is None else list(model.model_fields)


def _section(annotation: Any) -> type[BaseModel] | None:
    """Give the model within an annotation, such as that of a list's or a mapping's values."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _section(arg))), None)
