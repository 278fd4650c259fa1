"""Training: recipes on real data, with their preprocessing as steps.

Importing this is light; Keras and TensorFlow are imported when a training begins.
"""

from edgepack.train.packing import to_pack
from edgepack.train.recipe import Recipe, TrainResult, train
from edgepack.train.recipes import find, known

__all__ = ["Recipe", "TrainResult", "find", "known", "to_pack", "train"]
