"""Feast is imported without what none of its users here asks for, and does the same."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typeguard

SAYS = {
    "torch is not imported": "'torch' not in sys.modules",
    "tensors can be had": "offline_store.get_torch().__name__ == 'torch'",
    "its modules are its own": "feast.__spec__.origin.endswith('feast/__init__.py')",
    "its own code is not written anew": "online_read.__code__.co_filename.endswith('sqlite.py')",
}


@pytest.fixture(scope="module")
def said() -> list[str]:
    script = (
        "import sys\nimport ml_tasks.io.features\nimport feast\n"
        "from feast.infra.offline_stores import offline_store\n"
        "from feast.infra.online_stores.sqlite import SqliteOnlineStore\n"
        "online_read = SqliteOnlineStore.online_read\n"
        f"for told in {list(SAYS.values())!r}:\n    print(eval(told))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("what", SAYS)
def test_what_holds_after_it(what: str, said: list[str]) -> None:
    assert said[list(SAYS).index(what)] == "True"


def test_what_is_not_feasts_is_checked_as_before() -> None:
    @typeguard.typechecked
    def once(number: int) -> int:
        return number

    @typeguard.typechecked(forward_ref_policy=typeguard.ForwardRefPolicy.IGNORE)
    def twice(number: int) -> int:
        return 2 * number

    assert (once(1), twice(1)) == (1, 2)
    for each in (once, twice):
        with pytest.raises(typeguard.TypeCheckError, match="number"):
            each("one")  # type: ignore[arg-type]
