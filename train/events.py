"""The figures of each epoch as TensorBoard reads them."""

import types
from collections.abc import Mapping
from pathlib import Path

from edgepack.quiet import quiet
from edgepack.runtime.errors import OutputError

__all__ = ["Events"]


class Events:
    """Writes scalars by name and epoch into a folder; None writes nothing. Use it as a context manager."""

    def __init__(self, folder: Path | None) -> None:
        """Begin a file of events; raises `OutputError` where the folder cannot be written."""
        self._writer = None
        if folder is None:
            return
        import tensorflow as tf

        try:
            folder.mkdir(parents=True, exist_ok=True)
            with quiet(), tf.Graph().as_default():  # the writer that needs no TensorBoard installed is of TensorFlow 1
                self._writer = tf.compat.v1.summary.FileWriter(str(folder))
        except (OSError, tf.errors.OpError) as error:
            raise OutputError(f"logs cannot be written to {folder}: {error}; name another folder") from error

    def write(self, number: int, figures: Mapping[str, float]) -> None:
        """Add the figures of one epoch."""
        if self._writer is None:
            return
        from tensorflow.compat.v1 import Summary

        values = [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
        self._writer.add_summary(Summary(value=values), number)
        self._writer.flush()

    def __enter__(self) -> "Events":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
