"""The kept reference says what alibi-detect's own detectors say, which sort it again each time."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from ml_tasks import drift_tests
from ml_tasks.drift_tests import columns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    import pyarrow as pa

    Make = Callable[..., pa.Table]


def theirs(kind: str, own: np.ndarray, other: np.ndarray, **words: Any) -> tuple[float, float]:
    from ml_tasks.drift_tests.detectors import named

    detector = named(kind)(own[:, None], **words)
    said = detector.predict(other[:, None], drift_type="feature")["data"]
    return float(said["distance"][0]), float(said["p_val"][0])


@pytest.mark.parametrize("shift", [0.0, 0.3])
@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("ks", "KSDrift", {}),
        ("cvm", "CVMDrift", {}),
        ("chi_square", "ChiSquareDrift", {}),
        ("tabular", "TabularDrift", {"categories_per_feature": {0: None}}),
    ],
)
def test_columns_apart(
    name: str, kind: str, words: dict[str, Any], shift: float, made: Make
) -> None:
    reference, window = made(2000, 1), made(500, 2, shift)
    ours = drift_tests.fit(name, reference, {}, "alibi-detect").test(window)
    assert ours == drift_tests.fit(name, reference, {}, "scipy").test(window)
    for drift in ours:
        if drift.of == "missing":
            continue
        if drift.column == "carrier":
            texts = [columns.texts(each, "carrier") for each in (reference, window)]
            vocabulary = sorted(texts[0].drop_null().unique().to_pylist())
            own, other = (columns.codes(each, vocabulary) for each in texts)
            wanted = theirs(kind, own, other, **words)
        else:
            own, other = (columns.numbers(each, drift.column) for each in (reference, window))
            wanted = theirs(kind, own, other, **(words and {"categories_per_feature": {}}))
        assert (drift.statistic, drift.p_value) == pytest.approx(wanted, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_discrepancies_of_both_engines_are_the_same_estimate(shift: float, made: Make) -> None:
    reference, window = made(300, 1), made(200, 2, shift)
    ours, alibis = (
        drift_tests.fit("mmd", reference, {}, engine).test(window)[0].statistic
        for engine in ("scipy", "alibi-detect")
    )
    assert ours == pytest.approx(alibis, rel=0.02, abs=1e-5)


def test_classifiers_of_both_engines_are_the_same_but_for_folds(made: Make) -> None:
    reference, window = made(300, 1), made(200, 2, 0.5)
    ours, alibis = (
        drift_tests.fit("classifier", reference, {}, engine).test(window)[0]
        for engine in ("scipy", "alibi-detect")
    )
    assert ours == alibis


def test_alibi_detect_does_without_language_models() -> None:
    script = (
        "import sys\n"
        "from ml_tasks.drift_tests import detectors\n"
        "assert 'transformers' not in sys.modules\n"
        "from alibi_detect.models.pytorch import TransformerEmbedding\n"
        "try:\n"
        "    TransformerEmbedding('some/model', 'hidden_state')\n"
        "except AttributeError as fault:\n"
        "    print(fault)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    why = "from_pretrained: transformers was left out where alibi-detect was imported"
    assert done.stdout.splitlines() == [why]


@pytest.mark.parametrize("there", [True, False])
def test_what_is_left_out_can_be_imported_afterwards(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml_tasks.drift_tests import detectors

    name = "left_out" if there else "not_there"
    if there:
        (tmp_path / f"{name}.py").write_text("class Heavy:\n    weighs = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    with detectors.without(name):
        assert importlib.import_module(name).Heavy is detectors.LeftOut
    if there:
        assert importlib.import_module(name).Heavy.weighs == 1
    else:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(name)


def test_what_is_imported_already_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from ml_tasks.drift_tests import detectors

    known = ModuleType("known_already")
    monkeypatch.setitem(sys.modules, known.__name__, known)
    with detectors.without(known.__name__):
        assert sys.modules[known.__name__] is known
