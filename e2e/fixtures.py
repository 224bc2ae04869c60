#!/usr/bin/env python3
"""Makes the bad models and data sets of the tests. usage: fixtures.py OUTDIR"""
import io
import pathlib
import struct
import sys
import zipfile

out = pathlib.Path(sys.argv[1])
models = pathlib.Path(__file__).resolve().parent.parent / "examples" / "models"


def npy(*shape):
    """An array of uint8 zeros, in NumPy's format 1.0."""
    header = repr({"descr": "|u1", "fortran_order": False, "shape": shape}).encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    size = 1
    for d in shape:
        size *= d
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(size)


def npz(name, **arrays):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for array, content in arrays.items():
            archive.writestr(zipfile.ZipInfo(array + ".npy"), content)  # its date is 1980: the same bytes each time
    (out / name).write_bytes(data.getvalue())


out.mkdir(parents=True, exist_ok=True)
npz("no-labels.npz", x=npy(8, 28, 28))
npz("no-images.npz", x=npy(0, 28, 28), y=npy(0))
npz("wrong-shape.npz", x=npy(8, 32, 32), y=npy(8))
whole = (models / "fashion-mobilenet.onnx").read_bytes()
(out / "truncated.onnx").write_bytes(whole[: len(whole) // 2])
