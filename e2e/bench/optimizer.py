#!/usr/bin/env python3
"""The reference side of `make bench-optimizer`: ONNX Runtime's own quantizer and NNCF, and one judge for all.

  optimizer.py training IMAGES OUT                    the first 55,000 images of an idx file, as .npz
  optimizer.py quantize MODEL CALIBRATION OUT         static int8 as ONNX Runtime's tools make it (U8S8, per channel, MinMax)
  optimizer.py nncf MODEL CALIBRATION OUT             static int8 as NNCF makes it, by its defaults
  optimizer.py judge EVALUATION ORIGINAL MODEL...     top-1, agreement, SQNR, size, CPU ms (one thread, interleaved), as JSON
"""
import gzip
import json
import os
import statistics
import sys
import time

import numpy as np
import onnxruntime as ort


def images(path):
    data = np.load(path)
    x = ((data["x"].astype(np.float32) / 255 - 0.2860) / 0.3530)[:, None]
    return x, data["y"] if "y" in data else None


def training(idx, out):
    np.savez(out, x=np.frombuffer(gzip.open(idx).read(), np.uint8, offset=16).reshape(-1, 28, 28)[:55000])


def saturates():
    """x86 without int8 dot products adds two products in 16 bits."""
    return not any(flag in open("/proc/cpuinfo").read() for flag in ("avx512_vnni", "avx_vnni", "asimddp"))


def quantize(model, calibration, out):
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.rows = iter({"input": row[None]} for row in images(calibration)[0][:256])

        def get_next(self):
            return next(self.rows, None)

    prepared = out + ".pre"
    quant_pre_process(model, prepared, skip_symbolic_shape=True)
    quantize_static(prepared, out, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8, reduce_range=saturates(), calibrate_method=CalibrationMethod.MinMax)
    os.remove(prepared)


def nncf(model, calibration, out):
    import nncf
    import onnx

    rows = nncf.Dataset([{"input": row[None]} for row in images(calibration)[0][:256]])
    onnx.save(nncf.quantize(onnx.load(model), rows, subset_size=256), out)


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def judge(evaluation, paths):
    x, y = images(evaluation)
    sessions = [session(p) for p in paths]
    logits = [np.concatenate([s.run(None, {"input": x[i:i + 250]})[0] for i in range(0, len(x), 250)]).astype(np.float64) for s in sessions]
    classes = [found.argmax(1) for found in logits]
    signal = (logits[0] ** 2).sum()
    noise = [max(((found - logits[0]) ** 2).sum(), 1e-30) for found in logits]
    times = [[] for _ in paths]
    for round_ in range(45):
        for s, spent in zip(sessions, times):
            began = time.process_time()
            for n in range(40):
                s.run(None, {"input": x[n:n + 1]})
            if round_ >= 5:
                spent.append((time.process_time() - began) / 40 * 1e3)
    return [{"top1": float((c == y).mean() * 100), "agreement": float((c == classes[0]).mean() * 100),
             "sqnr": float(10 * np.log10(signal / n)), "bytes": os.path.getsize(p), "ms": statistics.median(t)} for p, c, n, t in zip(paths, classes, noise, times)]


makers = {"quantize": quantize, "nncf": nncf, "training": training}
if sys.argv[1] in makers:
    makers[sys.argv[1]](*sys.argv[2:])
else:
    print(json.dumps(judge(sys.argv[2], sys.argv[3:])))
