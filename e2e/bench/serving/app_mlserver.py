"""MLServer with its own codecs; parallel inference off, so that the model is in the one process."""
import asyncio
import os

from engine import session
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Mobilenet(MLModel):
    async def load(self):
        self.engine = session()
        return True

    async def predict(self, payload):
        (y,) = self.engine.run(None, {"input": NumpyCodec.decode_input(payload.inputs[0])})
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("output", y)])


async def main():
    ports = {name: int(os.environ[name.upper()]) for name in ("http_port", "grpc_port")}
    server = MLServer(Settings(host="127.0.0.1", metrics_endpoint=None, parallel_workers=0, debug=False, **ports))
    await server.start([ModelSettings(name="mobilenet", implementation=Mobilenet)])


asyncio.run(main())
