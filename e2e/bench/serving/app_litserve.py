"""LitServe, on its own route: it does not speak the protocol, and is given the same JSON."""
import os

import litserve
import numpy as np
from engine import session


class Mobilenet(litserve.LitAPI):
    def setup(self, device):
        self.engine = session()

    def decode_request(self, request):
        (tensor,) = request["inputs"]
        return np.array(tensor["data"], np.float32).reshape(tensor["shape"])

    def predict(self, x):
        return self.engine.run(None, {"input": x})[0]

    def encode_response(self, y):
        return {"outputs": [{"name": "output", "shape": list(y.shape), "datatype": "FP32", "data": y.ravel().tolist()}]}


if __name__ == "__main__":
    server = litserve.LitServer(Mobilenet(api_path="/infer"), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(os.environ["HTTP_PORT"]), num_api_servers=1, generate_client_file=False, log_level="warning")
