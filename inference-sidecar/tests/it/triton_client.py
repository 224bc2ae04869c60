"""Triton's own client against a running server: `python3 triton_client.py ADDRESSES`, a JSON object of host:port.

`types` is a model with an Identity of each datatype (input x_FP32, output y_FP32, …, shape [-1, 2]), `fashion` a classifier.
"""

import json
import sys

import ml_dtypes
import numpy as np
import tritonclient.grpc as grpc
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

ADDRESSES = json.loads(sys.argv[1])
VALUES = {
    "BOOL": np.array([[True, False], [False, True]]),
    "UINT8": np.array([[0, 255], [1, 2]], np.uint8),
    "UINT16": np.array([[0, 65535], [1, 2]], np.uint16),
    "UINT32": np.array([[0, 2**32 - 1], [1, 2]], np.uint32),
    "UINT64": np.array([[0, 2**64 - 1], [1, 2]], np.uint64),
    "INT8": np.array([[-128, 127], [1, -2]], np.int8),
    "INT16": np.array([[-(2**15), 2**15 - 1], [1, -2]], np.int16),
    "INT32": np.array([[-(2**31), 2**31 - 1], [1, -2]], np.int32),
    "INT64": np.array([[-(2**63), 2**63 - 1], [1, -2]], np.int64),
    "FP16": np.array([[0.1, -65504], [0, 1e-7]], np.float16),
    "BF16": np.array([[0.1, -3e38], [0, 1]], ml_dtypes.bfloat16),
    "FP32": np.array([[0.1, -3.4028235e38], [0, 1e-45]], np.float32),
    "FP64": np.array([[0.1, -1.7976931348623157e308], [0, 5e-324]], np.float64),
    "BYTES": np.array([[b"", "zwölf 😀".encode()], [b'"]\\,', b"a" * 1000]], np.object_),
}
# JSON has no form for these.
BINARY_ONLY = {"FP16", "BF16"}


def inputs_of(module, binary=None):
    inputs = []
    for datatype, values in VALUES.items():
        tensor = module.InferInput(f"x_{datatype}", list(values.shape), datatype)
        if module is http:
            tensor.set_data_from_numpy(values, binary_data=binary or datatype in BINARY_ONLY)
        else:
            tensor.set_data_from_numpy(values)
        inputs.append(tensor)
    return inputs


def check_values(result, binary=True):
    for datatype, values in VALUES.items():
        found = result.as_numpy(f"y_{datatype}")
        assert found.shape == values.shape, (datatype, found.shape)
        if datatype == "BYTES" and not binary:
            values = np.array([[text.decode() for text in row] for row in values], np.object_)
        assert found.dtype == values.dtype, (datatype, found.dtype)
        assert (found == values).all(), (datatype, binary, found)


def fails(status, part, call):
    try:
        call()
    except InferenceServerException as e:
        assert str(e.status()) == status and part in e.message(), (e.status(), e.message())
    else:
        raise AssertionError(f"expected {status}: {part}")


def http_datatypes(client):
    for binary_in in [True, False]:
        for binary_out in [True, False]:
            outputs = [http.InferRequestedOutput(f"y_{d}", binary_data=binary_out) for d in VALUES]
            result = client.infer("types", inputs_of(http, binary_in), outputs=outputs, request_id="7")
            check_values(result, binary_out)
            assert result.get_response()["id"] == "7"
    # All outputs, as the client asks for them by itself: binary.
    check_values(client.infer("types", inputs_of(http, True)))
    # Two of them, in another order.
    outputs = [http.InferRequestedOutput("y_INT8", binary_data=False), http.InferRequestedOutput("y_BYTES")]
    result = client.infer("types", inputs_of(http, True), outputs=outputs)
    assert [o["name"] for o in result.get_response()["outputs"]] == ["y_INT8", "y_BYTES"]


def http_compression(client):
    for request in [None, "gzip", "deflate"]:
        for answer in [None, "gzip", "deflate"]:
            for binary in [True, False]:
                result = client.infer(
                    "types",
                    inputs_of(http, binary),
                    request_compression_algorithm=request,
                    response_compression_algorithm=answer,
                )
                check_values(result)


def http_errors(client):
    x = http.InferInput("x_FP32", [1, 2], "FP32")
    x.set_data_from_numpy(np.array([[1, float("nan")]], np.float32), binary_data=False)
    fails("400", "line 1 column", lambda: client.infer("types", [x]))
    x = http.InferInput("x_FP16", [1, 2], "FP16")
    x.set_data_from_numpy(np.zeros([1, 2], np.float16), binary_data=False)
    fails("400", "FP16 has no JSON form", lambda: client.infer("types", [x]))
    text = http.InferInput("x_BYTES", [1, 2], "BYTES")
    text.set_data_from_numpy(np.array([[b"\xff", b""]], np.object_))
    fails("400", "no UTF-8", lambda: client.infer("types", [text]))
    x.set_shared_memory("region", 8)
    fails("400", "neither data", lambda: client.infer("types", [x]))
    fails("404", 'expected "types"', lambda: client.infer("other", inputs_of(http)))
    fails("404", 'no version "9"; expected "r1"', lambda: client.infer("types", inputs_of(http), model_version="9"))
    fails("404", "no such path", lambda: client.load_model("types"))


def grpc_datatypes(client):
    for compression in [None, "gzip", "deflate"]:
        result = client.infer("types", inputs_of(grpc), request_id="7", compression_algorithm=compression)
        check_values(result)
        assert result.get_response().id == "7"
    result = client.infer("types", inputs_of(grpc), outputs=[grpc.InferRequestedOutput("y_BYTES")])
    assert [o.name for o in result.get_response().outputs] == ["y_BYTES"]


def grpc_errors(client):
    text = grpc.InferInput("x_BYTES", [1, 2], "BYTES")
    text.set_data_from_numpy(np.array([[b"\xff", b""]], np.object_))
    fails("StatusCode.INVALID_ARGUMENT", "no UTF-8", lambda: client.infer("types", [text]))
    fails("StatusCode.NOT_FOUND", 'expected "types"', lambda: client.infer("other", inputs_of(grpc)))
    version = lambda: client.infer("types", inputs_of(grpc), model_version="9")
    fails("StatusCode.NOT_FOUND", 'no version "9"; expected "r1"', version)
    fails("StatusCode.UNIMPLEMENTED", "", lambda: client.load_model("types"))


def metadata(client, as_dict):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("types") and client.is_model_ready("types", "r1")
    server = as_dict(client.get_server_metadata())
    assert server["extensions"] == ["binary_tensor_data", "classification", "statistics"], server
    model = as_dict(client.get_model_metadata("types"))
    assert model["versions"] == ["r1"]
    found = {t["name"]: (t["datatype"], [int(d) for d in t["shape"]]) for t in model["inputs"] + model["outputs"]}
    assert found == {f"{side}_{d}": (d, [-1, 2]) for side in "xy" for d in VALUES}, found


def classification(module, client):
    image = np.linspace(-1, 1, 2 * 784, dtype=np.float32).reshape(2, 1, 28, 28)
    x = module.InferInput("input", list(image.shape), "FP32")
    x.set_data_from_numpy(image)
    scores = client.infer("fashion", [x]).as_numpy("logits")
    for k, columns in [(3, 3), (99, 10)]:
        outputs = [module.InferRequestedOutput("logits", class_count=k)]
        classes = client.infer("fashion", [x], outputs=outputs).as_numpy("logits")
        assert classes.shape == (2, columns), classes
        for row, found in zip(scores, classes):
            order = np.argsort(-row, kind="stable")[:columns]
            found = [text.decode().split(":") for text in found]
            assert [int(index) for _, index, _ in found] == list(order), found
            assert [label for _, _, label in found] == [f"label {i}" for i in order], found
            assert np.array([score for score, _, _ in found], np.float32).tolist() == row[order].tolist(), found


def total(stat, name):
    return int(stat["inference_stats"][name]["count"])


def statistics(client, as_dict):
    """Both clients have sent the same to the classifier: 3 requests of 2 rows each."""
    for found in [client.get_inference_statistics("fashion"), client.get_inference_statistics()]:
        [stat] = as_dict(found)["model_stats"]
        assert (stat["name"], stat["version"]) == ("fashion", "r1"), stat
        requests, rows = int(stat["execution_count"]), int(stat["inference_count"])
        assert requests in (3, 6) and rows == 2 * requests, stat
        assert total(stat, "success") == total(stat, "queue") == total(stat, "compute_infer") == requests, stat
        [batch] = stat["batch_stats"]
        assert int(batch["batch_size"]) == 2 and int(batch["compute_infer"]["count"]) == requests, stat
        assert int(batch["compute_infer"]["ns"]) > 0 and int(stat["last_inference"]) > 1_700_000_000_000, stat


def index(entries):
    [entry] = entries
    assert (entry["name"], entry["version"], entry["state"]) == ("types", "r1", "READY"), entry


def main():
    from google.protobuf.json_format import MessageToDict

    to_dict = lambda message: MessageToDict(message, preserving_proto_field_name=True)
    same = lambda found: found
    with http.InferenceServerClient(ADDRESSES["types"]["http"]) as client:
        metadata(client, same)
        http_datatypes(client)
        http_compression(client)
        http_errors(client)
        index(client.get_model_repository_index())
    with grpc.InferenceServerClient(ADDRESSES["types"]["grpc"]) as client:
        metadata(client, to_dict)
        grpc_datatypes(client)
        grpc_errors(client)
        index(to_dict(client.get_model_repository_index())["models"])
    with http.InferenceServerClient(ADDRESSES["fashion"]["http"]) as client:
        classification(http, client)
        statistics(client, same)
    with grpc.InferenceServerClient(ADDRESSES["fashion"]["grpc"]) as client:
        classification(grpc, client)
        statistics(client, to_dict)
    print("all of it")


main()
