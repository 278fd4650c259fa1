"""The recipes: one file each, and one line in this table."""

from importlib import import_module
from types import MappingProxyType

from edgepack.runtime.errors import UnknownNameError
from edgepack.train.recipe import Recipe

__all__ = ["find", "known"]

# name -> module that holds its RECIPE, which imports neither Keras nor TensorFlow until it is built
_RECIPES = MappingProxyType(
    {
        "digits": "edgepack.train.recipes.digits",
        "digits-mobile": "edgepack.train.recipes.digits_mobile",
        "digits-autoencoder": "edgepack.train.recipes.digits_autoencoder",
        "reviews-lstm": "edgepack.train.recipes.reviews_lstm",
        "reviews-attention": "edgepack.train.recipes.reviews_attention",
        "reviews-embedding": "edgepack.train.recipes.reviews_embedding",
        "speech-gru": "edgepack.train.recipes.speech_gru",
        "speech-stream": "edgepack.train.recipes.speech_stream",
        "linear": "edgepack.train.recipes.linear",
        "logistic": "edgepack.train.recipes.logistic",
        "series-lstm": "edgepack.train.recipes.series_lstm",
    }
)


def known() -> dict[str, str]:
    """Every recipe's name with its one-line summary."""
    return {name: find(name).summary for name in _RECIPES}


def find(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UnknownNameError: There is none.
    """
    if name not in _RECIPES:
        raise UnknownNameError("recipe", name, _RECIPES, "list them with: edgepack recipes")
    recipe: Recipe = import_module(_RECIPES[name]).RECIPE
    return recipe
