"""Layers of a user who moved on to Keras 3; `--custom tests.convert.own_layers:Shifted`."""

from typing import Any

import keras


class Shifted(keras.layers.Layer):  # type: ignore[misc, unused-ignore]
    """The inputs times a learned scale, plus a number."""

    def __init__(self, by: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.by = by

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(name="scale", shape=(shape[-1],))

    def call(self, inputs: Any) -> Any:
        return inputs * self.scale + self.by

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "by": self.by}
