"""Lines that come in pieces, and again after a break."""

from __future__ import annotations

from typing import Any

from ml_launch.cluster.lines import Pieces, PodLog

POD: dict[str, Any] = {
    "metadata": {
        "name": "train-1-0",
        "annotations": {"batch.kubernetes.io/job-completion-index": "1"},
    }
}


def test_pieces_become_lines() -> None:
    pieces = Pieces()
    assert pieces.take(b"one\ntw") == ["one"]
    assert pieces.take("o €".encode()[:-1]) == []
    assert pieces.take(b"\xac\n\nthree") == ["two €", ""]
    assert pieces.end() == ["three"]
    assert Pieces().end() == []


def test_a_log_is_shown_once_though_it_comes_again() -> None:
    log = PodLog(POD, pods=1)
    assert log.again() is None
    assert [log.shown(line) for line in ("01.1Z one", "01.2Z two", "01.2Z ")] == ["one", "two", ""]
    assert log.again() == "01.2Z"
    assert [log.shown(line) for line in ("01.1Z one", "01.2Z two", "01.3Z x y")] == [
        *(None, None), "x y",
    ]  # fmt: skip


def test_of_several_pods_a_line_says_whose_it_is() -> None:
    log = PodLog(POD, pods=2)
    assert log.shown("01Z one") == "[1] one"
    assert log.refused(OSError("no")) == "[1] the log of train-1-0 is not shown: no"
