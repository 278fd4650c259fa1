"""What Keras 2 had and Keras 3 has not, written again; nothing here runs code that a model file brings along.

Importing this module imports TensorFlow and Keras.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from importlib import import_module
from typing import Any

import keras
import tensorflow as tf

from edgepack.runtime.errors import ModelError

# What functional models may call by name (Keras 2 writes TFOpLambda and SlicingOpLambda): mathematics on tensors alone,
# nothing that reads, writes, waits or draws at random. A name is TensorFlow's own, "math." may be left out.
_FUNCTIONS = {
    "": """batch_to_space boolean_mask broadcast_to cast clip_by_norm clip_by_value concat constant convert_to_tensor
        einsum ensure_shape expand_dims eye fill gather gather_nd identity linspace meshgrid norm one_hot ones ones_like
        pad range rank repeat reshape reverse reverse_sequence roll searchsorted sequence_mask shape size slice sort
        argsort space_to_batch space_to_batch_nd split squeeze stack stop_gradient strided_slice tensordot tile
        transpose unstack where zeros zeros_like""",
    "__operators__": "add eq getitem ne",
    "math": """abs acos acosh add add_n argmax argmin asin asinh atan atan2 atanh ceil cos cosh count_nonzero cumprod
        cumsum div divide divide_no_nan equal erf erfc exp expm1 floor floor_div floordiv floormod greater
        greater_equal is_finite is_inf is_nan l2_normalize less less_equal log log1p log_sigmoid log_softmax logical_and
        logical_not logical_or logical_xor maximum minimum mod multiply multiply_no_nan negative not_equal pow
        reciprocal reciprocal_no_nan
        reduce_all reduce_any reduce_euclidean_norm reduce_logsumexp reduce_max reduce_mean reduce_min reduce_prod
        reduce_std reduce_sum reduce_variance rint round rsqrt scalar_mul sigmoid sign sin sinh softmax softplus
        softsign sqrt square squared_difference subtract tan tanh top_k truediv xdivy xlogy""",
    "nn": """atrous_conv2d avg_pool avg_pool1d avg_pool2d avg_pool3d batch_normalization bias_add conv1d conv2d
        conv2d_transpose convolution crelu depth_to_space depthwise_conv2d dilation2d elu gelu l2_normalize leaky_relu
        local_response_normalization log_softmax max_pool max_pool1d max_pool2d max_pool3d moments pool relu relu6 selu
        separable_conv2d sigmoid silu softmax softplus softsign space_to_depth swish tanh top_k""",
    "linalg": "band_part diag diag_part einsum l2_normalize matmul matrix_transpose matvec norm tensordot trace",
    "image": """adjust_brightness adjust_contrast central_crop crop_and_resize crop_to_bounding_box extract_patches
        flip_left_right flip_up_down grayscale_to_rgb pad_to_bounding_box per_image_standardization resize
        resize_with_crop_or_pad resize_with_pad rgb_to_grayscale rot90 sobel_edges transpose""",
    "signal": "frame hamming_window hann_window linear_to_mel_weight_matrix overlap_and_add rfft rfft2d stft",
    "keras.activations": """elu exponential gelu hard_sigmoid linear mish relu selu sigmoid softmax softplus softsign
        swish tanh""",
    "keras.backend": """abs all any argmax argmin batch_dot batch_flatten batch_normalization bias_add cast clip
        concatenate conv1d conv2d cos cumprod cumsum depthwise_conv2d dot elu equal exp expand_dims flatten greater
        greater_equal hard_sigmoid identity l2_normalize less less_equal log max maximum mean min minimum not_equal
        one_hot ones_like permute_dimensions pool2d pow prod relu repeat repeat_elements reshape resize_images reverse
        round separable_conv2d shape sigmoid sign sin softmax softplus softsign spatial_2d_padding sqrt square squeeze
        stack std stop_gradient sum switch tanh temporal_padding tile transpose var zeros_like""",
}
_ALLOWED = frozenset(
    f"{group}.{name}".removeprefix(".") for group, names in _FUNCTIONS.items() for name in names.split()
)


@keras.saving.register_keras_serializable(package="edgepack")  # type: ignore[untyped-decorator, unused-ignore]
def hard_sigmoid_keras2(x: Any) -> Any:
    """`clip(0.2 x + 0.5, 0, 1)`, as in Keras 2; under the same name, Keras 3 computes `relu6(x + 3) / 6`."""
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)


@keras.saving.register_keras_serializable(package="edgepack")  # type: ignore[untyped-decorator, unused-ignore]
class ThresholdedReLU(keras.layers.Layer):  # type: ignore[misc, unused-ignore]
    """`x` where it is greater than `theta`, else 0; Keras 3 has dropped it."""

    def __init__(self, theta: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.theta = float(theta)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """The same shape as `inputs`."""
        return inputs * keras.ops.cast(inputs > self.theta, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """What makes this layer again."""
        return {**super().get_config(), "theta": self.theta}


@keras.saving.register_keras_serializable(package="edgepack")  # type: ignore[untyped-decorator, unused-ignore]
class TensorFunction(keras.layers.Layer):  # type: ignore[misc, unused-ignore]
    """One call of a TensorFlow function, as Keras 2 keeps `x * 2` or `tf.nn.relu(x)` in a functional model.

    Args:
        function: The function's public name, `"math.multiply"`; one of those that only compute.
        first: Its first argument, in any nesting; `{"tensor": 0}` stands for the first tensor the layer is called on.
        arguments: The others by name, in the same notation; slices are `{"start": …, "stop": …, "step": …}`.
        kwargs: As any layer takes them.
    """

    def __init__(self, function: str, first: Any, arguments: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.function, self.first, self.arguments = function, first, arguments
        self.supports_masking = True  # masks end here, as in Keras 2, and Keras need not warn of it
        self._run = find_function(function)

    def call(self, tensors: Sequence[Any]) -> Any:
        """The function's result on `tensors`; one with several parts comes as a list."""
        first = _fill(self.first, tensors)
        result = self._run(first, **{name: _fill(value, tensors) for name, value in self.arguments.items()})
        return list(result) if isinstance(result, tuple) else result

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """None: a function knows nothing of masks."""

    def get_config(self) -> dict[str, Any]:
        """What makes this layer again."""
        config = {**super().get_config(), "function": self.function, "first": self.first, "arguments": self.arguments}
        config.pop("autocast", None)
        return config


def find_function(name: str) -> Callable[..., Any]:
    """The function of that public name.

    Raises:
        ModelError: It is not among those that only compute, or this TensorFlow has it no more.
    """
    plain = name.removeprefix("compat.v1.")
    if plain not in _ALLOWED and f"math.{plain}" not in _ALLOWED:
        raise ModelError(
            f"calls tf.{name}, which is not among the functions that a file may call here; "
            "save the model with a layer of your own in its place, and pass that with --custom module:name"
        )
    if plain.endswith("hard_sigmoid"):
        return hard_sigmoid_keras2  # type: ignore[no-any-return, unused-ignore]
    group, _, last = plain.rpartition(".")
    try:
        if group == "keras.activations":
            return getattr(keras.activations, last)  # type: ignore[no-any-return]
        if group == "keras.backend":
            return getattr(import_module("keras.src.legacy.backend"), last)  # type: ignore[no-any-return]
        return reduce(getattr, name.split("."), tf)  # type: ignore[no-any-return]
    except (AttributeError, ModuleNotFoundError) as error:
        raise ModelError(f"calls tf.{name}, which TensorFlow and Keras here have no more") from error


def _fill(value: Any, tensors: Sequence[Any]) -> Any:
    """The argument with its tensors and slices in place."""
    if isinstance(value, dict):
        if set(value) == {"tensor"}:
            return tensors[value["tensor"]]
        parts = {key: _fill(part, tensors) for key, part in value.items()}
        return slice(parts["start"], parts["stop"], parts["step"]) if set(parts) == {"start", "stop", "step"} else parts
    if isinstance(value, (list, tuple)):
        return [_fill(part, tensors) for part in value]
    return value
