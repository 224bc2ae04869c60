"""KServe's own client against a running server: `python3 kserve_client.py ADDRESSES`, a JSON object of host:port.

The model `types` has an Identity of FP32, INT64 and BYTES each (input x_FP32, output y_FP32, …, shape [-1, 2]).
"""

import asyncio
import json
import sys

import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import RequestedOutput

ADDRESSES = json.loads(sys.argv[1])
URL = "http://" + ADDRESSES["http"]
VALUES = {
    "FP32": np.array([[0.1, -3.4028235e38], [0, 1e-45]], np.float32),
    "INT64": np.array([[-(2**63), 2**63 - 1], [1, -2]], np.int64),
    "BYTES": np.array([["", "zwölf 😀"], ['"]\\,', "a" * 1000]], np.object_),
}


def request(binary, outputs=None, **parameters):
    inputs = []
    for datatype, values in VALUES.items():
        tensor = InferInput(f"x_{datatype}", list(values.shape), datatype)
        tensor.set_data_from_numpy(values, binary_data=binary)
        inputs.append(tensor)
    return InferRequest("types", inputs, request_id="7", request_outputs=outputs, parameters=parameters or None)


def check(response, names=tuple(VALUES)):
    assert (response.id, response.model_name) == ("7", "types"), response
    assert [o.name for o in response.outputs] == [f"y_{n}" for n in names], response
    for output in response.outputs:
        expected = VALUES[output.datatype]
        found = output.as_numpy()
        if output.datatype == "BYTES":
            text = lambda value: value.decode() if isinstance(value, bytes) else value
            found = np.array([text(value) for value in found.flatten()], np.object_).reshape(found.shape)
        assert found.shape == expected.shape and (found == expected).all(), (output.name, found)


async def rest():
    async with InferenceRESTClient(RESTConfig(protocol="v2", retries=0)) as client:
        assert await client.is_server_live(URL) and await client.is_server_ready(URL)
        assert await client.is_model_ready(URL, "types")
        for binary in [True, False]:
            for answer in [True, False]:
                check(await client.infer(URL, request(binary, binary_data_output=answer), model_name="types"))
        outputs = [RequestedOutput("y_INT64", {"binary_data": False}), RequestedOutput("y_FP32", {"binary_data": True})]
        check(await client.infer(URL, request(True, outputs), model_name="types"), ["INT64", "FP32"])
        try:
            await client.infer(URL, request(False), model_name="other")
        except httpx.HTTPStatusError as e:
            assert e.response.status_code == 404 and 'expected "types"' in str(e), e
        else:
            raise AssertionError("another model answered")
    async with InferenceRESTClient(RESTConfig(protocol="v1", retries=0)) as client:
        assert await client.is_model_ready(URL, "types")
        columns = {f"x_{datatype}": values.tolist() for datatype, values in VALUES.items()}
        answer = await client.infer(URL, {"inputs": columns}, model_name="types")
        for datatype, values in VALUES.items():
            found = np.array(answer["outputs"][f"y_{datatype}"], values.dtype)
            assert found.shape == values.shape and (found == values).all(), (datatype, found)


async def grpc():
    async with InferenceGRPCClient(ADDRESSES["grpc"], retries=0) as client:
        assert await client.is_server_live() and await client.is_server_ready()
        assert await client.is_model_ready("types")
        for binary in [True, False]:
            response = await client.infer(request(binary))
            check(response)
            # Of HTTP the client does not read it.
            assert response.model_version == "r1", response


async def main():
    await rest()
    await grpc()
    print("all of it")


asyncio.run(main())
