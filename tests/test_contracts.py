"""Each contract of the tree is broken on purpose once, and must say so."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = Path(sys.executable).parent


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("ml_tasks", "perennial", "feature_repo", "plugins", "dags"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def imports(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TOOLS / "lint-imports", "--no-cache"],
        cwd=tree,
        env={"PYTHONPATH": f"{tree}:{tree / 'plugins'}", "PATH": str(TOOLS)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_tree_keeps_its_contracts(tree: Path) -> None:
    done = imports(tree)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("ml_tasks/config/files.py", "import ml_tasks.io.lake", "Layers of ml_tasks"),
        ("ml_tasks/io/lake.py", "import ml_tasks.training.ddp", "Layers of ml_tasks"),
        ("ml_tasks/io/lake.py", "import kubernetes", "Tasks know nothing of Airflow"),
        ("ml_tasks/flow.py", "import airflow", "Tasks know nothing of Airflow"),
        ("ml_tasks/flow.py", "import perennial", "Tasks know nothing of Airflow"),
        ("plugins/ml_launch/__init__.py", "import ml_tasks.io.registry", "Launcher and pages"),
        ("plugins/ml_pages/pages.py", "import ml_tasks.train", "Launcher and pages"),
        ("plugins/ml_alerts/heed.py", "import ml_tasks.io.outbox", "Launcher and pages"),
        ("feature_repo/transformations/__init__.py", "import polars", "Transformations import"),
        ("ml_tasks/prover/__init__.py", "import feature_repo", "The prover shares nothing"),
        ("feature_repo/__init__.py", "import ml_tasks.config", "The feature repository"),
        ("feature_repo/__init__.py", "import os", "The feature repository"),
    ],
)
def test_a_planted_import_breaks_its_contract(
    tree: Path, file: str, line: str, contract: str
) -> None:
    with (tree / file).open("a") as stream:
        stream.write(f"\n{line}\n")
    done = imports(tree)
    assert done.returncode == 1, done.stdout
    assert f"{contract}" in done.stdout.split("Broken contracts")[1]


@pytest.mark.parametrize(
    ("file", "text", "rule"),
    [
        ("dags/planted.py", "import torch\n", "TID253"),
        ("plugins/planted.py", "import kubernetes\n", "TID253"),
        ("ml_tasks/planted.py", "import os\n\nHOME = os.environ['HOME']\n", "TID251"),
        ("dags/planted.py", "import os\n\nHOME = os.getenv('HOME')\n", "TID251"),
        ("ml_tasks/planted.py", "print(1)\n", "T201"),
        ("ml_tasks/planted.py", "try:\n    X = 1\nexcept Exception:\n    X = 2\n", "BLE001"),
        ("ml_tasks/planted.py", "def f() -> None: ...\n", "D103"),
        (
            "dags/planted.py",
            "from airflow.sdk import DAG, Variable\n\nX = Variable.get('x')\n",
            "AIR003",
        ),
    ],
)
def test_a_planted_line_breaks_its_rule(tree: Path, file: str, text: str, rule: str) -> None:
    (tree / file).write_text(text)
    done = subprocess.run(
        [TOOLS / "ruff", "check", "--no-cache", "--output-format=json", file],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f'"code": "{rule}"' in done.stdout


MAY_IMPORT = {
    "__future__", "datetime", "typing", "collections", "airflow", "ml_alerts", "ml_launch",
    "ml_tasks", "ml_tasks.config", "ml_tasks.flow", "ml_tasks.result", "ml_tasks.errors",
}  # fmt: skip


@pytest.mark.parametrize("file", sorted((ROOT / "dags").glob("*.py")), ids=lambda f: f.stem)
def test_a_dag_file_imports_only_what_parses_fast(file: Path) -> None:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            found.add(module if module.startswith("ml_tasks") else module.split(".")[0])
    assert found <= MAY_IMPORT


CODE = sorted(
    file
    for folder in ("ml_tasks", "perennial", "feature_repo", "plugins", "dags", "bench", "k8s")
    for file in (ROOT / folder).rglob("*.py")
    if "migrations" not in file.parts
)
LONGEST_FILE, LONGEST_FUNCTION = 300, 50


def too_long(text: str) -> list[str]:
    """Files and functions that are longer than one reads at a time; docstrings do not count."""
    lines = len(text.splitlines())
    found = [f"{lines} lines"] if lines > LONGEST_FILE else []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            said = node.body[0] if ast.get_docstring(node) is not None else None
            parts = (node, said) if said is not None else (node,)
            whole, *doc = ((part.end_lineno or 0) - part.lineno + 1 for part in parts)
            if whole - sum(doc) > LONGEST_FUNCTION:
                found.append(f"{node.name}: {whole - sum(doc)} lines")
    return found


def test_files_and_functions_are_short() -> None:
    assert len(CODE) > 200
    found = {str(file.relative_to(ROOT)): too_long(file.read_text()) for file in CODE}
    assert {file: long for file, long in found.items() if long} == {}


def test_what_is_too_long_is_named() -> None:
    function = 'async def f():\n    """Say.\n\n    More.\n    """\n' + "    x = 1\n" * 49
    assert too_long(function) == []
    assert too_long(f"class A:\n    x = 1\n{function}    x = 1\n") == ["f: 51 lines"]
    assert too_long("x = 1\n" * 300) == []
    assert too_long("x = 1\n" * 301) == ["301 lines"]
