"""A trained model as what others read: weights, their hash, and one ONNX graph."""

from __future__ import annotations

import hashlib
import io
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    import onnx

    from ml_tasks.models.spec import Spec

OPSET, ML_OPSET = 18, 3


class _Answer(nn.Module):
    """Turns the raw output into a probability or a value in the label's unit."""

    def __init__(self, model: nn.Module, spec: Spec) -> None:
        super().__init__()
        self.model, self.spec = model, spec

    def forward(self, x: Tensor, codes: Tensor) -> Tensor:
        raw: Tensor = self.model(x, codes)
        if self.spec.task == "classification":
            return raw.sigmoid()
        return raw * self.spec.target_scale + self.spec.target_mean


def weights_hash(weights: dict[str, Tensor]) -> str:
    """Give the SHA-256 of names, shapes and bytes, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def torch_bytes(model: nn.Module, description: dict[str, Any]) -> bytes:
    """Give weights and description in PyTorch's form, which loads with `weights_only`."""
    buffer = io.BytesIO()
    torch.save({"weights": model.state_dict(), "description": description}, buffer)
    return buffer.getvalue()


def onnx_bytes(model: nn.Module, spec: Spec) -> bytes:
    """Give a graph that takes raw inputs: `numeric` `[n, k]` (NaN: missing), `categorical` texts.

    Without categories there is no second input. The output is `prediction` `[n]`.
    """
    import onnx
    from onnx import compose

    graph = _network(model.cpu().eval(), spec)
    if spec.categorical:
        words = _words(spec)
        words.ir_version = graph.ir_version
        graph = compose.merge_models(words, graph, io_map=[("codes", "codes")])
    onnx.checker.check_model(graph)
    return bytes(graph.SerializeToString(deterministic=True))


def _network(model: nn.Module, spec: Spec) -> onnx.ModelProto:
    import onnx

    example = (
        torch.zeros(2, len(spec.numeric)),
        torch.zeros(2, len(spec.categorical), dtype=torch.long),
    )
    names = ["numeric", "codes"]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        file = Path(folder) / "network.onnx"
        # The newer exporter takes seconds and another package for the same graph.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            _Answer(model, spec).eval(),
            example,
            file,
            input_names=names,
            output_names=["prediction"],
            dynamic_axes={name: {0: "rows"} for name in (*names, "prediction")},
            opset_version=OPSET,
            dynamo=False,
        )
        return onnx.load(file)


def _words(spec: Spec) -> onnx.ModelProto:
    """Make the graph that turns texts into codes; an unknown text is code 0."""
    from onnx import TensorProto, helper

    nodes, columns, starts = [], [], []
    for number, words in enumerate(spec.vocabularies):
        starts.append(helper.make_tensor(f"column_{number}", TensorProto.INT64, [1], [number]))
        text, code = f"text_{number}", f"code_{number}"
        nodes.append(
            helper.make_node("Gather", ["categorical", f"column_{number}"], [text], axis=1)
        )
        nodes.append(
            helper.make_node(
                "LabelEncoder",
                [text],
                [code],
                domain="ai.onnx.ml",
                keys_strings=list(words) or [""],
                values_int64s=list(range(1, len(words) + 1)) or [0],
                default_int64=0,
            )
        )
        columns.append(code)
    nodes.append(helper.make_node("Concat", columns, ["codes"], axis=1))
    shape = ["rows", len(spec.categorical)]
    graph = helper.make_graph(
        nodes,
        "words",
        [helper.make_tensor_value_info("categorical", TensorProto.STRING, shape)],
        [helper.make_tensor_value_info("codes", TensorProto.INT64, shape)],
        initializer=starts,
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    return helper.make_model(graph, opset_imports=opsets)
