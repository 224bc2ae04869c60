#!/usr/bin/env python3
"""Makes what all servers of the benchmark serve: model.py DIRECTORY

mobilenet.onnx: MobileNetV2 (Sandler et al. 2018, table 2; batch normalization folded), 1x3x224x224, random weights (He et al. 2015),
int8 by ONNX Runtime's quantizer: QDQ, U8 activations, S8 weights per channel. Right for speed, and says nothing of accuracy.
null.onnx: takes and gives the same, and does next to nothing.
"""
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

SHAPE = (1, 3, 224, 224)
# expansion, channels, repeats, stride of the first
BLOCKS = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


def model(nodes, initializers, opset=17):
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "benchmark", [value("input", SHAPE)], [value("output", (1, 1000))], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def mobilenet():
    random = np.random.default_rng(0)
    nodes, initializers = [], []

    def constant(name, array):
        initializers.append(numpy_helper.from_array(array, name))
        return name

    def convolution(x, inputs, outputs, size, stride=1, groups=1, activation=True):
        name = f"conv{len(initializers)}"
        fan_in = inputs // groups * size * size
        weight = random.normal(0, (2 / fan_in) ** 0.5, (outputs, inputs // groups, size, size)).astype(np.float32)
        names = [x, constant(name + ".w", weight), constant(name + ".b", random.normal(0, 0.1, outputs).astype(np.float32))]
        nodes.append(helper.make_node("Conv", names, [name], name, strides=[stride] * 2, pads=[size // 2] * 4, group=groups))
        if activation:
            nodes.append(helper.make_node("Clip", [name, "zero", "six"], [name + ".relu6"], name + ".relu6"))
        return name + ".relu6" * activation

    constant("zero", np.array(0, np.float32)), constant("six", np.array(6, np.float32))
    x, channels = convolution("input", 3, 32, 3, 2), 32
    for expansion, outputs, repeats, first in BLOCKS:
        for stride in [first] + [1] * (repeats - 1):
            before, wide = x, channels * expansion
            if expansion > 1:
                x = convolution(x, channels, wide, 1)
            x = convolution(x, wide, wide, 3, stride, wide)
            x = convolution(x, wide, outputs, 1, activation=False)
            if stride == 1 and channels == outputs:
                nodes.append(helper.make_node("Add", [before, x], [x + ".sum"], x + ".sum"))
                x += ".sum"
            channels = outputs
    x = convolution(x, channels, 1280, 1)
    nodes.append(helper.make_node("GlobalAveragePool", [x], ["pool"], "pool"))
    nodes.append(helper.make_node("Flatten", ["pool"], ["flat"], "flatten"))
    weight = random.normal(0, (1 / 1280) ** 0.5, (1280, 1000)).astype(np.float32)
    names = ["flat", constant("head.w", weight), constant("head.b", np.zeros(1000, np.float32))]
    nodes.append(helper.make_node("Gemm", names, ["output"], "head"))
    return model(nodes, initializers)


def null():
    whole = lambda name, values: numpy_helper.from_array(np.array(values, np.int64), name)
    nodes = [
        helper.make_node("Slice", ["input", "from", "to"], ["first"]),
        helper.make_node("Reshape", ["first", "one"], ["value"]),
        helper.make_node("Expand", ["value", "shape"], ["output"]),
    ]
    return model(nodes, [whole("from", [0] * 4), whole("to", [1] * 4), whole("one", [1, 1]), whole("shape", [1, 1000])])


class Noise(CalibrationDataReader):
    def __init__(self):
        random = np.random.default_rng(1)
        self.images = iter([{"input": random.normal(size=SHAPE).astype(np.float32)} for _ in range(4)])

    def get_next(self):
        return next(self.images, None)


def main(directory):
    directory.mkdir(parents=True, exist_ok=True)
    onnx.save(mobilenet(), directory / "float.onnx")
    quant_pre_process(directory / "float.onnx", directory / "prepared.onnx")
    quantize_static(
        directory / "prepared.onnx", directory / "quantized.onnx", Noise(), quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, per_channel=True,
    )
    onnx.save(null(), directory / "null.onnx")
    np.random.default_rng(2).normal(size=SHAPE).astype("<f4").tofile(directory / "input.f32")
    # Last: whoever finds it finds all of them.
    (directory / "quantized.onnx").rename(directory / "mobilenet.onnx")


main(pathlib.Path(sys.argv[1]))
