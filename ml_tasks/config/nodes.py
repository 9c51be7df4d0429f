"""Reads YAML text strictly: each key once, each value of its kind, faults by key and line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from ml_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where there is one: each launch and each parse of a DAG file reads every product."""
MERGE = "tag:yaml.org,2002:merge"
TIMESTAMP = "tag:yaml.org,2002:timestamp"


def values(text: str) -> Any:
    """Give what a YAML text says; nothing where it is empty.

    Raises:
        YAMLError: It is not YAML.
        ConfigError: A key stands twice, or a value is none of its kind; one line a fault.
    """
    loader = LOADER(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        if faults := list(_faults(loader, root)):
            raise ConfigError("\n".join(faults))
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _faults(loader: Any, root: yaml.Node) -> Iterator[str]:
    """Look at nodes, not at values: of two keys that are alike a mapping keeps the last."""
    waiting, seen = [("", root)], set()
    while waiting:
        place, node = waiting.pop()
        if id(node) in seen:  # an alias leads to what was looked at, or round in a circle
            continue
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            _key, faults = _scalar(loader, place, node)
            yield from faults
        elif isinstance(node, yaml.SequenceNode):
            parts = [(_below(place, n), part) for n, part in enumerate(node.value)]
            waiting += reversed(parts)
        else:
            yield from _keys(loader, place, node)
            parts = [(_below(place, key.value), part) for key, part in node.value]
            waiting += reversed(parts)


def _keys(loader: Any, place: str, node: yaml.Node) -> Iterator[str]:
    first: dict[Hashable, int] = {}
    for key, _part in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == MERGE:
            continue
        name, faults = _scalar(loader, _below(place, key.value), key)
        yield from faults
        if not faults and name in first:
            yield (
                f"{_below(place, key.value)}: came twice, in line {first[name]} and in line "
                f"{_line(key)}, wanted once: the last would silently count"
            )
        first.setdefault(name, _line(key))


def _scalar(loader: Any, place: str, node: yaml.Node) -> tuple[Hashable, list[str]]:
    try:
        return loader.construct_object(node), []
    except ValueError as fault:  # a date that is none, such as 2013-02-30
        wanted = "a day such as 2013-01-31" if node.tag == TIMESTAMP else "a number"
        said = f"{place or '(whole file)'}: line {_line(node)}: came {node.value!r}, wanted "
        return None, [f"{said}{wanted}, or a text in quotes: {fault}"]


def _below(place: str, part: object) -> str:
    return f"{place}.{part}" if place else str(part)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
