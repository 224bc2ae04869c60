"""What the benchmarks of serving share: the servers, which are processes of their own, and the program that loads and measures them.

The first argument of the script is a folder to work in; what else is needed is in the environment, which serving.sh sets.
"""
import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

work = pathlib.Path(sys.argv[1])
BENCH, SIDECAR = os.environ["BENCH"], os.environ["SIDECAR"]
MODELS = pathlib.Path(os.environ["MODELS"])
# Parts of the number of requests, for a short look.
SCALE = float(os.environ.get("SERVING_SCALE", "1"))
INFER = "/v2/models/mobilenet/infer"


def bench(*arguments, limit=180):
    done = subprocess.run([BENCH, *map(str, arguments)], stdout=subprocess.PIPE, timeout=limit, check=True)
    return json.loads(done.stdout)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A process of its own group, which ends with `stop`."""

    def __init__(self, name, command, **environment):
        self.name, self.http, self.grpc = name, free_port(), free_port()
        command = [part.format(http=self.http, grpc=self.grpc, admin=free_port()) for part in map(str, command)]
        environment = {"HTTP_PORT": str(self.http), "GRPC_PORT": str(self.grpc), **environment}
        log = open(work / f"{name}.log", "ab")
        start = time.monotonic()
        self.process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=log, stderr=log, cwd=work, start_new_session=True
        )
        try:
            self.await_ready(start + 60)
        except BaseException:
            self.stop()
            raise
        self.ready = time.monotonic() - start

    def await_ready(self, deadline):
        while time.monotonic() < deadline and self.process.poll() is None:
            for path in ("/v2/health/ready", "/healthz", "/health"):
                with contextlib.suppress(OSError, http.client.HTTPException):
                    if self.request("GET", path).status == 200:
                        return
            time.sleep(0.002)
        raise RuntimeError(f"{self.name} is not ready; {work}/{self.name}.log says why")

    def request(self, method, path, body=None, headers={}):
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=10)
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        response.content = response.read()
        return response

    def load(self, way, requests, *more):
        port = self.grpc if way == "grpc" else self.http
        path = "/inference.GRPCInferenceService/ModelInfer" if way == "grpc" else self.path(way)
        arguments = ["load", f"127.0.0.1:{port}", path, work / f"{way}.body", "--pid", self.process.pid]
        # Overload is a matter of seconds, which no scale makes shorter.
        scale = 1 if "--rate" in more else SCALE
        arguments += ["--requests", max(10, int(requests * scale)), *(["--grpc"] if way == "grpc" else [])]
        arguments += [part for name, value in HEADERS.get(way, {}).items() for part in ("--header", f"{name}: {value}")]
        seen = bench(*arguments, *more)
        if not seen["answered"]:
            raise RuntimeError(f"{self.name} answers nothing over {way}: {seen}")
        return seen

    def path(self, way):
        return "/infer" if self.name in ("bentoml", "litserve") else INFER

    def stop(self):
        # The group, and nobody else: it was started for this process.
        for end in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, end)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10 if end == signal.SIGTERM else 5)


def sidecar(name, model, sessions, **more):
    package = work / f"package-{model}"
    digest = bench("package", MODELS / f"{model}.onnx", package)["digest"]
    flags = {"package": package, "digest": digest, "model-name": "mobilenet", "address": "127.0.0.1", "sessions": sessions, "drain-seconds": 0}
    flags |= {flag.replace("_", "-"): value for flag, value in more.items()}
    ports = ["--http-port", "{http}", "--grpc-port", "{grpc}", "--admin-port", "{admin}"]
    return lambda: Server(name, [SIDECAR, "serve", *ports, *(part for k, v in flags.items() for part in (f"--{k}", v))], RUST_LOG="warn")


# The same input in every form that has one; the bodies lie in the folder.
(work / "input.f32").write_bytes((MODELS / "input.f32").read_bytes())
HEADERS = {"binary": {"content-type": "application/octet-stream"}, "json": {"content-type": "application/json"}, "jpeg": {"content-type": "image/jpeg"}}
HEADERS["binary"]["inference-header-content-length"] = str(bench("bodies", work, "mobilenet")["header_length"])
