"""FastAPI, tuned by hand: orjson, no copy of binary tensors, Pillow and numpy for JPEG, the work in a thread of the pool."""
import io
import os

import numpy as np
import orjson
import uvicorn
from engine import session
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from PIL import Image

app, engine = FastAPI(), session()
MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255
STD = 1 / (np.array([0.229, 0.224, 0.225], np.float32) * 255)


def answer(x, binary):
    y = engine.run(None, {"input": x})[0]
    output = {"name": "output", "datatype": "FP32", "shape": y.shape}
    if not binary:
        output["data"] = y.ravel()
        return orjson.dumps({"model_name": "mobilenet", "outputs": [output]}, option=orjson.OPT_SERIALIZE_NUMPY), {}
    raw = y.tobytes()
    output["parameters"] = {"binary_data_size": len(raw)}
    head = orjson.dumps({"model_name": "mobilenet", "outputs": [output]})
    return head + raw, {"inference-header-content-length": str(len(head))}


def infer(body, length):
    if body.startswith(b"\xff\xd8\xff"):
        pixels = np.asarray(Image.open(io.BytesIO(body)).convert("RGB"), np.float32)
        return answer(np.ascontiguousarray(((pixels - MEAN) * STD).transpose(2, 0, 1)[None]), False)
    if length is None:
        (tensor,) = orjson.loads(body)["inputs"]
        return answer(np.array(tensor["data"], np.float32).reshape(tensor["shape"]), False)
    (tensor,) = orjson.loads(memoryview(body)[: int(length)])["inputs"]
    return answer(np.frombuffer(body, np.float32, offset=int(length)).reshape(tensor["shape"]), True)


@app.get("/v2/health/ready")
async def ready():
    return {"ready": True}


@app.post("/v2/models/mobilenet/infer")
async def handle(request: Request):
    length = request.headers.get("inference-header-content-length")
    body, headers = await run_in_threadpool(infer, await request.body(), length)
    return Response(body, headers=headers, media_type="application/octet-stream" if length else "application/json")


uvicorn.run(app, host="127.0.0.1", port=int(os.environ["HTTP_PORT"]), log_level="warning", access_log=False)
