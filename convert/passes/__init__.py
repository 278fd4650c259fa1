"""Passes over ONNX graphs, one file each: `call(model) -> modified`, the model is changed in place."""
