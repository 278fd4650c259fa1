"""Single operations of a graph inside a functional model, as Keras of TensorFlow 2.0 to 2.3 keeps `x * 2`.

Importing this module imports TensorFlow and Keras.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from google.protobuf import json_format

from edgepack.runtime.errors import ModelError

# What such a node may be: mathematics on tensors alone.
_OPERATIONS = """
    Abs Acos Acosh Add AddN AddV2 All Any ArgMax ArgMin Asin Asinh Atan Atan2 Atanh AvgPool BatchMatMul BatchMatMulV2
    BatchToSpaceND BiasAdd BroadcastTo Cast Ceil ClipByValue ConcatV2 Conv2D Cos Cosh Cumprod Cumsum DepthToSpace
    DepthwiseConv2dNative Div DivNoNan Einsum Elu Equal Erf Erfc Exp ExpandDims Expm1 Fill Floor FloorDiv FloorMod
    GatherNd GatherV2 Greater GreaterEqual Identity IsFinite IsInf IsNan LeakyRelu Less LessEqual Log Log1p LogSoftmax
    LogicalAnd LogicalNot LogicalOr MatMul MatrixBandPart Max MaxPool Maximum Mean Min Minimum MirrorPad Mul Neg
    NotEqual OneHot OnesLike Pack Pad PadV2 Pow Prod Range Rank RealDiv Reciprocal Relu Relu6 Reshape ResizeBicubic
    ResizeBilinear ResizeNearestNeighbor ReverseV2 Round Rsqrt Select SelectV2 Selu Shape Sigmoid Sign Sin Sinh Size
    Slice Softmax Softplus Softsign SpaceToBatchND SpaceToDepth Split SplitV Sqrt Square SquaredDifference Squeeze
    StopGradient StridedSlice Sub Sum Tan Tanh Tile TopKV2 Transpose Unpack Where Xdivy Xlogy ZerosLike
    """


@keras.saving.register_keras_serializable(package="edgepack_keras2")  # type: ignore[untyped-decorator, unused-ignore]
class TensorFlowOpLayer(keras.layers.Layer):  # type: ignore[misc, unused-ignore]
    """One operation.

    Args:
        node_def: The operation with its attributes: protobuf as JSON, or its bytes as text.
        constants: Its inputs that are no tensors of the model, by position.
        kwargs: As any layer takes them.
    """

    def __init__(self, node_def: Any, constants: dict[Any, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.supports_masking = True  # masks end here, as in Keras 2
        self._node = _parsed(node_def)
        self._constants = {int(index): value for index, value in (constants or {}).items()}
        if self._node.op not in _OPERATIONS.split():
            raise ModelError(f"is the operation {self._node.op}, which is not among those that a file may hold here")

    def call(self, inputs: Any) -> Any:
        """The operation's outputs; several come as a list."""
        results = tf.function(self._run)(*(inputs if isinstance(inputs, (list, tuple)) else [inputs]))
        return results[0] if len(results) == 1 else list(results)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """None: an operation knows nothing of masks."""

    def get_config(self) -> dict[str, Any]:
        """What makes this layer again."""
        config = super().get_config()
        config.pop("autocast", None)
        return {**config, "node_def": json_format.MessageToDict(self._node), "constants": self._constants}

    def _run(self, *tensors: Any) -> Sequence[Any]:
        """Put the operation into the graph that is being traced."""
        inputs = list(tensors)
        for index in sorted(self._constants):
            inputs.insert(index, tf.constant(self._constants[index]))
        definition = tf.compat.v1.GraphDef()
        node = definition.node.add()
        node.CopyFrom(self._node)
        node.name = "operation"
        node.input[:] = [f"input_{index}" for index in range(len(inputs))]
        mapped = {f"input_{index}:0": tensor for index, tensor in enumerate(inputs)}
        (operation,) = tf.graph_util.import_graph_def(definition, input_map=mapped, return_elements=["operation"])
        return operation.outputs  # type: ignore[no-any-return, unused-ignore]


def _parsed(node: Any) -> Any:
    if isinstance(node, dict):
        return json_format.ParseDict(node, tf.compat.v1.NodeDef())
    return tf.compat.v1.NodeDef.FromString(node if isinstance(node, bytes) else node.encode())
