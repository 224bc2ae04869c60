"""BentoML, on its own route: it does not speak the protocol, and is given the same JSON."""
import bentoml
import numpy as np
from engine import session


@bentoml.service(workers=1)
class Mobilenet:
    def __init__(self):
        self.engine = session()

    @bentoml.api(route="/infer")
    def infer(self, inputs: list) -> dict:
        x = np.array(inputs[0]["data"], np.float32).reshape(inputs[0]["shape"])
        (y,) = self.engine.run(None, {"input": x})
        return {"outputs": [{"name": "output", "shape": list(y.shape), "datatype": "FP32", "data": y.ravel().tolist()}]}
