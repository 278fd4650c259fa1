"""One model of each family of `keras.applications`, its random weights scaled so that its answers differ."""

from typing import Any

import numpy as np

from edgepack.quiet import import_keras

# family -> its smallest model
FAMILIES = {
    "convnext": "ConvNeXtTiny", "densenet": "DenseNet121", "efficientnet": "EfficientNetB0",
    "efficientnet_v2": "EfficientNetV2B0", "inception_resnet_v2": "InceptionResNetV2", "inception_v3": "InceptionV3",
    "mobilenet": "MobileNet", "mobilenet_v2": "MobileNetV2", "mobilenet_v3": "MobileNetV3Small",
    "nasnet": "NASNetMobile", "resnet": "ResNet50", "resnet_v2": "ResNet50V2", "vgg16": "VGG16", "vgg19": "VGG19",
    "xception": "Xception",
}  # fmt: skip
_SIZE = 224
_LOGITS = 3.0  # their standard deviation: a softmax over a thousand classes then has a clear winner


def build(family: str, seed: int = 0) -> Any:
    """The model, with weights that carry a signal through all of its layers."""
    keras = import_keras("builds the models", "convert")
    keras.utils.set_random_seed(seed)
    model = getattr(keras.applications, FAMILIES[family])(weights=None, input_shape=(_SIZE, _SIZE, 3))
    rng = np.random.default_rng(seed)
    for layer in model._flatten_layers(include_self=False):
        _scale(layer, rng)
    images = pictures(model, rng, 8)
    model(images, training=True)  # normalizations take the moments of what they see
    _spread(keras, model, images)
    return model


def pictures(model: Any, rng: np.random.Generator, count: int) -> Any:
    """Pixels from 0 to 255 in coarse blobs, each picture with colours and a contrast of its own."""
    coarse = rng.uniform(0, 255, (count, 7, 7, 3)) * rng.uniform(0.3, 1, (count, 1, 1, 3))
    fine = coarse.repeat(_SIZE // 7, axis=1).repeat(_SIZE // 7, axis=2) + rng.normal(0, 20, (count, _SIZE, _SIZE, 3))
    pixels = np.clip(fine, 0, 255).astype(np.float32)
    return pixels if _rescales(model) else pixels / 127.5 - 1


def _rescales(model: Any) -> bool:
    return any(type(layer).__name__ in {"Rescaling", "Normalization"} for layer in model.layers[:4])


def _scale(layer: Any, rng: np.random.Generator) -> None:
    """Weights by He et al. (2015), so that neither signal nor differences die out; moments at once, not slowly."""
    if type(layer).__name__ == "BatchNormalization":
        layer.momentum = 0.0
    for variable in layer.weights if not getattr(layer, "layers", None) else ():
        name, shape = variable.path.rsplit("/", 1)[-1], tuple(variable.shape)
        if "kernel" in name:
            inputs = np.prod(shape[:2]) if "depthwise" in name else np.prod(shape[:-1])
            variable.assign(rng.normal(0, np.sqrt(2 / inputs), shape))
        elif type(layer).__name__ == "LayerScale":
            variable.assign(rng.uniform(0.3, 0.7, shape))


def _spread(keras: Any, model: Any, images: Any) -> None:
    """Turn the last layer so that its logits are around 0 and differ from picture to picture."""
    last = next(layer for layer in reversed(model.layers) if layer.weights)
    features = np.asarray(keras.Model(model.input, last.input)(images)).reshape(len(images), -1)
    kernel, bias = last.weights
    matrix = np.asarray(kernel).reshape(features.shape[1], -1)
    matrix = matrix * (_LOGITS / ((features - features.mean(axis=0)) @ matrix).std())
    kernel.assign(matrix.reshape(kernel.shape))
    bias.assign(-features.mean(axis=0) @ matrix)
