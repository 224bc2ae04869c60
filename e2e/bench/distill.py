#!/usr/bin/env python3
"""The reference side of `make bench-distill`: PyTorch's training of the same student, and what makes the comparison equal.

  distill.py prepare MODELS STUDENT NOBODY TRAINING   a student with fresh weights, a teacher that costs nothing, the training images
  distill.py train MODELS STUDENT DATA OUT OPTIONS    trains it in PyTorch as the technique does; its weights go to OUT, its cost to OUT.json

OPTIONS is the JSON of a `distill` technique; `"teacher": false` trains on labels alone.
"""
import gzip
import json
import math
import pathlib
import sys
import time

import numpy as np
import onnx
import torch
import torch.nn.functional as F

FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")
TRAINED = 55_000  # the images after them are for calibration


def student_and_teacher(models):
    sys.path.insert(0, str(models))
    import nets

    return nets.make("mbv2"), nets.make("resnet")


def images(path):
    """(N, 28, 28) as the networks take them, and the labels."""
    data = np.load(path)
    return (torch.from_numpy(data["x"]).float() / 255 - 0.2860) / 0.3530, torch.from_numpy(data["y"].astype(np.int64))


def load(module, path):
    """Values of equal names, from an ONNX file that has them all."""
    held = {i.name: torch.from_numpy(onnx.numpy_helper.to_array(i).copy()) for i in onnx.load(path).graph.initializer}
    module.load_state_dict({k: held.get(k, v) for k, v in module.state_dict().items() if k in held or "num_batches" in k})
    return module


def store(module, path, out):
    """A copy of an ONNX file with the values of the module."""
    model, state = onnx.load(path), module.state_dict()
    for initializer in model.graph.initializer:
        if initializer.name in state:
            value = state.pop(initializer.name).detach().contiguous().numpy()
            initializer.CopyFrom(onnx.numpy_helper.from_array(value, initializer.name))
    missed = [name for name in state if "num_batches" not in name]
    assert not missed, f"{path} lacks {missed}"
    onnx.save(model, out)


def load_folded(module, path):
    """A network whose BatchNormalization is in its convolutions: these come in the order of the file."""
    graph = onnx.load(path).graph
    held = {i.name: torch.from_numpy(onnx.numpy_helper.to_array(i).copy()) for i in graph.initializer}
    nodes = [n for n in graph.node if n.op_type in ("Conv", "Gemm")]
    layers = [m for m in module.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    assert len(nodes) == len(layers), f"{len(nodes)} layers in {path}; expected {len(layers)}"
    for node, layer in zip(nodes, layers):
        assert held[node.input[1]].shape == layer.weight.shape, node.name
        layer.weight, layer.bias = (torch.nn.Parameter(held[name]) for name in node.input[1:3])
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.BatchNorm2d):
                setattr(parent, name, torch.nn.Identity())
    return module.eval()


def moved(x, dy, dx, flip):
    """Images (N, H, W), each by its own number of pixels; the edge is repeated. As `moved` of optimizer/src/train/data.rs."""
    h, w = x.shape[1:]
    rows = (torch.arange(h) + dy[:, None]).clamp(0, h - 1)
    across = torch.arange(w).expand(len(x), w)
    across = torch.where(flip[:, None], w - 1 - across, across)
    columns = (across + dx[:, None]).clamp(0, w - 1)
    return x[torch.arange(len(x))[:, None, None], rows[:, :, None], columns[:, None, :]]


def check_moved():
    """The cases of the test in data.rs: unequal changes of the images would make the comparison unequal, and nothing else would say so."""
    x = torch.arange(1.0, 7.0).reshape(1, 2, 3)
    for dy, dx, flip, expected in [(0, 1, False, [2, 3, 3, 5, 6, 6]), (-1, 0, False, [1, 2, 3, 1, 2, 3]), (0, 0, True, [3, 2, 1, 6, 5, 4])]:
        found = moved(x, torch.tensor([dy]), torch.tensor([dx]), torch.tensor([flip])).flatten().tolist()
        assert found == expected, f"moved by {dy}, {dx}, {flip}: {found}; expected {expected}"


def batches(x, y, options):
    """Each image once, then all again in another order."""
    random = torch.Generator().manual_seed(options["seed"])
    order = torch.empty(0, dtype=torch.int64)
    size, shift = options["batch"], options["shift"]
    while True:
        while len(order) < size:
            order = torch.cat([order, torch.randperm(len(x), generator=random)])
        chosen, order = order[:size], order[size:]
        dy, dx = torch.randint(-shift, shift + 1, (2, size), generator=random)
        flip = torch.rand(size, generator=random) < (0.5 if options["flip"] else 0.0)
        yield moved(x[chosen], dy, dx, flip)[:, None], y[chosen]


def rate(options, step, warm_up=0.1):
    """As `scheduled` of optimizer/src/train/optimizer.rs."""
    progress = step / options["steps"]
    if progress < warm_up:
        return options["learningRate"] * min(progress + 1 / options["steps"], warm_up) / warm_up
    return options["learningRate"] * 0.5 * (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up)))


def train(models, start, data, out, options):
    student, teacher = student_and_teacher(models)
    # Channels last is what PyTorch's convolutions take fastest here.
    student = load(student, start).to(memory_format=torch.channels_last).train()
    teacher = load_folded(teacher, models / "fashion-resnet.onnx").to(memory_format=torch.channels_last)
    x, y = images(data)
    weights, others = [], []
    for parameter in student.parameters():
        (weights if parameter.ndim > 1 else others).append(parameter)
    optimizer = torch.optim.AdamW([{"params": weights, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}])
    labels, temperature = options["labels"], options["temperature"]
    began = time.process_time()
    for step, (images_, classes) in zip(range(options["steps"]), batches(x, y, options)):
        # The first step gets memory and kernels ready.
        if step == 1:
            first = time.process_time()
        for group in optimizer.param_groups:
            group["lr"] = rate(options, step)
        images_ = images_.contiguous(memory_format=torch.channels_last)
        answers = student(images_)
        if options.get("teacher", True):
            with torch.no_grad():
                taught = F.softmax(teacher(images_) / temperature, 1)
            loss = (1 - labels) * temperature**2 * F.kl_div(F.log_softmax(answers / temperature, 1), taught, reduction="batchmean")
            if labels:
                loss = loss + labels * F.cross_entropy(answers, classes)
        else:
            loss = F.cross_entropy(answers, classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 99:
            print(f"step {step + 1}: loss {loss.item():.4f}", file=sys.stderr, flush=True)
    ended = time.process_time()
    store(student, start, out)
    pathlib.Path(f"{out}.json").write_text(json.dumps({"cpu": ended - began, "step": (ended - first) / max(options["steps"] - 1, 1)}))


def nobody(path):
    """Always the same answer: what a step then costs is the student's."""
    value = onnx.helper.make_tensor_value_info
    weight = onnx.numpy_helper.from_array(np.zeros((784, 10), np.float32), "weight")
    nodes = [onnx.helper.make_node("Flatten", ["input"], ["flat"]), onnx.helper.make_node("MatMul", ["flat", "weight"], ["logits"])]
    ends = [value("input", onnx.TensorProto.FLOAT, ["batch", 1, 28, 28])], [value("logits", onnx.TensorProto.FLOAT, ["batch", 10])]
    graph = onnx.helper.make_graph(nodes, "nobody", *ends, [weight])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)


def prepare(models, start, idle, training):
    check_moved()
    nobody(idle)
    torch.manual_seed(0)
    store(student_and_teacher(models)[0], models / "fashion-mobilenet-bn.onnx", start)
    held = [np.frombuffer(gzip.open(FASHION / f"train-{name}-ubyte.gz").read(), np.uint8)[skip:] for name, skip in (("images-idx3", 16), ("labels-idx1", 8))]
    np.savez(training, x=held[0].reshape(-1, 28, 28)[:TRAINED], y=held[1][:TRAINED])


def main(verb, *args):
    torch.set_num_threads(1)
    if verb == "prepare":
        prepare(pathlib.Path(args[0]), *args[1:])
    elif verb == "train":
        train(pathlib.Path(args[0]), *args[1:4], json.loads(args[4]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
