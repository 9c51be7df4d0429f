"""alibi-detect's detectors, without the library of language models that is imported with them.

`alibi_detect` imports transformers for one embedding of texts and one of its loaders, and none of
our detectors asks for either. The lock leaves it out; where it is installed it would take a third
of the seconds and a sixth of the memory.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

LANGUAGE_MODELS = "transformers"


class _Refusing(type):
    """Says why, whatever is asked of a class."""

    def __getattr__(cls, name: str) -> NoReturn:
        raise AttributeError(f"{name}: transformers was left out where alibi-detect was imported")


class LeftOut(metaclass=_Refusing):
    """Stands for a class that is not imported."""


class _Absence(ModuleType):
    """Stands for a module that is not imported; what is imported from it stands so too."""

    def __getattr__(self, name: str) -> type[LeftOut]:
        if name.startswith("__"):
            raise AttributeError(name)
        return LeftOut


@contextmanager
def without(name: str) -> Iterator[None]:
    """Let classes be imported from a module that is not; one that has been is left alone."""
    if name in sys.modules:
        yield
        return
    absence = _Absence(name)
    absence.__spec__ = importlib.util.find_spec(name) or ModuleSpec(name, None)
    sys.modules[name] = absence
    try:
        yield
    finally:
        del sys.modules[name]


with without(LANGUAGE_MODELS):
    import alibi_detect.cd as detectors
    from alibi_detect.cd.pytorch.mmd_online import MMDDriftOnlineTorch

logging.getLogger("alibi_detect").setLevel(logging.ERROR)


def named(kind: str) -> type:
    """Give alibi-detect's class of a name, online MMD's on PyTorch among them."""
    online = {"MMDDriftOnlineTorch": MMDDriftOnlineTorch}
    found: type = online.get(kind) or getattr(detectors, kind)
    return found
