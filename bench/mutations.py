"""Small changes of source code, each of which a test should notice."""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
TURNED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.Gt,
    ast.LtE: ast.GtE,
    ast.Gt: ast.Lt,
    ast.GtE: ast.LtE,
}
COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
RENAMED = {
    "max_horizontal": "min_horizontal",
    "cum_max": "cum_min",
    "max": "min",
    "min": "max",
    "any": "all",
    "all": "any",
    "GreaterThanOrEqual": "GreaterThan",
    "LessThan": "LessThanOrEqual",
}
WORDS = {"first": "last", "last": "first", "backward": "forward"}
DROPPED = ("sort", "filter", "unique", "where", "with_for_update", "order_by", "with_columns")
"""Links that are taken out of a chain of calls."""
QUIET = ("log", "logging")
"""Nothing is lost where these say nothing."""
DECLARED = ("frozen", "slots", "use_attribute_docstrings")
"""Words about classes, not about what they do."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file."""

    file: str
    line: int
    before: str
    after: str
    source: str
    """The whole file with the change in it."""

    @property
    def diff(self) -> str:
        """The change, as it is shown."""
        return f"{self.file}:{self.line}\n  - {self.before}\n  + {self.after}"


def mutants(file: str, source: str) -> list[Mutant]:
    """Give every change of a file that this module knows, in the order of its lines."""
    tree = ast.parse(source)
    skipped = _unseen(tree)
    found = []
    for node in ast.walk(tree):
        if id(node) in skipped or not hasattr(node, "lineno"):
            continue
        for after in _changes(node):
            changed = _put(source, node, after)
            before = ast.get_source_segment(source, node) or ""
            if _same(changed, tree):
                continue
            found.append(Mutant(file, node.lineno, _line(before), _line(after), changed))
    return sorted(found, key=lambda one: (one.line, one.before, one.after))


def _changes(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for table in (COMPARED, TURNED):
            if (other := table.get(type(node.ops[0]))) is not None:
                yield _with(node, ops=[other()])
    elif isinstance(node, ast.Constant):
        yield from _constants(node)
    elif isinstance(node, ast.Call):
        yield from _calls(node)
    elif isinstance(node, ast.expr):
        yield from _joined(node)
    elif isinstance(node, ast.Return) and node.value is not None:
        yield "return None"
    elif isinstance(node, ast.Raise | ast.Continue) or _is_deed(node):
        yield "pass"


def _joined(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.BoolOp):
        yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert):
        yield ast.unparse(node.operand)
    elif isinstance(node, ast.BinOp) and type(node.op) in COMPUTED:
        yield _with(node, op=COMPUTED[type(node.op)]())
    elif isinstance(node, ast.IfExp):
        yield _with(node, body=node.orelse, orelse=node.body)


def _constants(node: ast.Constant) -> Iterator[str]:
    if isinstance(node.value, bool):
        yield repr(not node.value)
    elif isinstance(node.value, int | float):
        yield repr(node.value + 1)
    elif node.value in WORDS:
        yield repr(WORDS[str(node.value)])


def _calls(node: ast.Call) -> Iterator[str]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in RENAMED:
        other = copy.deepcopy(node.func)
        setattr(other, "attr" if isinstance(other, ast.Attribute) else "id", RENAMED[name])
        yield _with(node, func=other)
    if name in DROPPED and isinstance(node.func, ast.Attribute):
        yield ast.unparse(node.func.value)


def _is_deed(node: ast.AST) -> bool:
    """Tell whether a statement is a call for its effect."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return False
    words = ast.unparse(node.value.func).split(".")
    return words[0] not in QUIET


def _unseen(tree: ast.AST) -> set[int]:
    """Give what nobody runs or reads: annotations, type checking, texts, logging, `__init__`."""
    found: set[int] = set()
    for node in ast.walk(tree):
        parts: list[ast.AST | None] = []
        if isinstance(node, ast.AnnAssign | ast.arg):
            parts = [node.annotation]
        elif isinstance(node, ast.FunctionDef):
            parts = [node.returns, *node.decorator_list]
        elif isinstance(node, ast.ClassDef):
            parts = [*node.decorator_list]
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            parts = [*node.body, node.test]
        elif _is_silent(node):
            parts = [node]
        found |= {id(inner) for part in parts if part is not None for inner in ast.walk(part)}
    return found


def _is_silent(node: ast.AST) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg in DECLARED
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Call):
        return ast.unparse(node.func).split(".")[0] in QUIET
    return isinstance(node, ast.JoinedStr | ast.Import | ast.ImportFrom)


def _with(node: ast.expr, **fields: object) -> str:
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return f"({ast.unparse(other)})" if not isinstance(node, ast.Call) else ast.unparse(other)


def _put(source: str, node: ast.AST, text: str) -> str:
    """Write a text in the place of a node."""
    lines = source.encode().splitlines(keepends=True)
    first, last = node.lineno - 1, node.end_lineno - 1  # type: ignore[attr-defined]
    head = lines[first][: node.col_offset]  # type: ignore[attr-defined]
    tail = lines[last][node.end_col_offset :]  # type: ignore[attr-defined]
    return b"".join([*lines[:first], head, text.encode(), tail, *lines[last + 1 :]]).decode()


def _same(changed: str, tree: ast.AST) -> bool:
    return ast.dump(ast.parse(changed)) == ast.dump(tree)


def _line(text: str) -> str:
    return " ".join(text.split())
