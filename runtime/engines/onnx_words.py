"""What ONNX Runtime's errors say, without the places in its source that stand before the words."""

import re

from edgepack.runtime.errors import one_line

# `/onnxruntime_src/core/x.cc:71 virtual T f(...) condition was false. `, up to the words behind
_SOURCE = r"(?s)/\S+\.(?:cc|h):\d+ .*?(?:was false\. |(?=\[ONNXRuntimeError\])|(?=Error creating execution provider))"


def in_words(error: object) -> str:
    """The message of an error on one line, for a message of ours."""
    return one_line(re.sub(_SOURCE, "", str(error)))
