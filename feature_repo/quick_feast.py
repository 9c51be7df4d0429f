"""Feast, imported in a fifth of its seconds.

Most of what `import feast` takes is typeguard's, which writes every decorated method anew so that
it checks its arguments at each call; most of the rest is PyTorch, which `to_tensor` alone needs.
Here Feast's methods stay as they are written, and PyTorch is imported by whoever asks for tensors.
"""

from __future__ import annotations

import importlib
import sys
from functools import partial
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

FEAST = "feast"
WRAPPER = "feast.torch_wrapper"


def install() -> None:
    """Let Feast be imported so from now on, in this process; what it was before stays."""
    if WRAPPER in sys.modules:
        return
    wrapper: Any = module_from_spec(ModuleSpec(WRAPPER, None))
    wrapper.get_torch = get_torch
    sys.modules[WRAPPER] = wrapper
    try:
        import typeguard
    except ImportError:  # then Feast does without it
        return
    typeguard.typechecked = partial(_unless_feasts, typeguard.typechecked)


def get_torch() -> ModuleType:
    """Give PyTorch, as Feast's own function does.

    Raises:
        ImportError: It is not installed.
    """
    return importlib.import_module("torch")


def _unless_feasts(checked: Any, target: Any = None, **told: Any) -> Any:
    """Decorate as typeguard does, but for what is Feast's."""
    if target is None:
        return partial(_unless_feasts, checked, **told)
    own = str(getattr(target, "__module__", "")).partition(".")[0] == FEAST
    return target if own else checked(target, **told)
