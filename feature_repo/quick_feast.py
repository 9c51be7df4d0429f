"""Feast, imported in a fifth of its seconds.

Of the 6 seconds that `import feast` takes, 4 go to typeguard, which writes every decorated method
anew so that it checks its arguments at each call, and 2 to PyTorch, which `to_tensor` alone needs.
Here methods stay as they are written, and PyTorch is imported by whoever asks for tensors.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import contextmanager
from importlib.machinery import PathFinder, SourceFileLoader
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from importlib.machinery import ModuleSpec

FEAST = "feast"
WRAPPER = "feast.torch_wrapper"


def install() -> None:
    """Let Feast be imported so from now on, in this process."""
    if not any(getattr(finder, "quickens", None) == FEAST for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    if WRAPPER not in sys.modules:
        wrapper = ModuleType(WRAPPER, __doc__)
        vars(wrapper)[get_torch.__name__] = get_torch
        sys.modules[WRAPPER] = wrapper


def get_torch() -> ModuleType:
    """Give PyTorch, as Feast's own function does.

    Raises:
        ImportError: It is not installed.
    """
    return importlib.import_module("torch")


class _Finder:
    """Finds Feast's modules where they are, to be run by another loader."""

    quickens = FEAST

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] != FEAST:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        with _unchecked():
            super().exec_module(module)


@contextmanager
def _unchecked() -> Iterator[None]:
    """Let typeguard's decorator give methods back as they came."""
    import typeguard

    before = typeguard.typechecked
    typeguard.typechecked = _as_it_is  # type: ignore[assignment]
    try:
        yield
    finally:
        typeguard.typechecked = before


def _as_it_is(target: object = None, **_told: object) -> object | Callable[[object], object]:
    return target if target is not None else _as_it_is
