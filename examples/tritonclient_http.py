"""Ask a server with NVIDIA's client, unmodified: `pip install 'tritonclient[http]'`.

`edgepack serve models/` in one terminal, then `python examples/tritonclient_http.py digits`. It sends numbers that mean
nothing, in the shapes that the server names; for results that a person reads there is `edgepack.client`.
"""

import sys

import numpy as np
from tritonclient import http, utils

ADDRESS = "127.0.0.1:8080"


def main(arguments: list[str]) -> int:
    """Ask a model for one row."""
    if not 1 <= len(arguments) <= 2:
        sys.stderr.write("usage: tritonclient_http.py MODEL [HOST:PORT]\n")
        return 2
    model, address = arguments[0], (arguments[1:] or [ADDRESS])[0]
    with http.InferenceServerClient(address) as client:
        assert client.is_server_live()
        assert client.is_model_ready(model)
        about = client.get_model_metadata(model)
        inputs = []
        for tensor in about["inputs"]:
            shape = [1 if size < 0 else size for size in tensor["shape"]]
            given = http.InferInput(tensor["name"], shape, tensor["datatype"])
            given.set_data_from_numpy(np.zeros(shape, utils.triton_to_np_dtype(tensor["datatype"])), binary_data=True)
            inputs.append(given)
        wanted = [http.InferRequestedOutput(tensor["name"], binary_data=True) for tensor in about["outputs"]]
        result = client.infer(model, inputs, outputs=wanted, request_id="example")
        for tensor in about["outputs"]:
            print(tensor["name"], result.as_numpy(tensor["name"]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
