"""KServe's model server with its own decoding."""
import os

from engine import session
from kserve import InferOutput, InferResponse, Model, ModelServer


class Mobilenet(Model):
    def __init__(self):
        super().__init__("mobilenet")
        self.engine, self.ready = session(), True

    async def predict(self, payload, headers=None, response_headers=None):
        (y,) = self.engine.run(None, {"input": payload.inputs[0].as_numpy()})
        output = InferOutput("output", list(y.shape), "FP32")
        output.set_data_from_numpy(y, binary_data=payload.from_grpc or bool(payload.use_binary_outputs))
        return InferResponse(payload.id or "none", self.name, [output], from_grpc=payload.from_grpc, use_binary_outputs=payload.use_binary_outputs)


server = ModelServer(http_port=int(os.environ["HTTP_PORT"]), grpc_port=int(os.environ["GRPC_PORT"]), enable_grpc=True, workers=1, access_log_format=None)
server.start([Mobilenet()])
