#!/usr/bin/env python3
"""Makes tests/fixtures: small images, and what Pillow and NumPy make of them. usage: fixtures.py (needs pillow, numpy)

cases.json: file, preprocessing, shape of the model's input, greatest difference that is allowed, in units of the raw pixels.
expected.f32: the inputs one after another, little-endian float32, in the shape of each case."""
import json
import pathlib
import struct
import zlib

import numpy
from PIL import Image

out = pathlib.Path(__file__).resolve().parent / "fixtures"
out.mkdir(exist_ok=True)


def scene(width, height):
    """Slopes, an edge and some noise."""
    y, x = numpy.mgrid[0:height, 0:width]
    noise = numpy.random.default_rng(7).integers(-9, 10, (height, width, 3))
    planes = [255 * x / width, 255 * y / height, numpy.where((x - width / 2) ** 2 + (y - height / 2) ** 2 < 40, 230, 60)]
    return (numpy.stack(planes, 2) + noise).clip(0, 255).astype(numpy.uint8)


def png(name, depth, colour, rows):
    """A PNG of a kind that Pillow does not write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = rows.shape[:2]
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    (out / name).write_bytes(data)


pixels = scene(17, 13)
image = Image.fromarray(pixels)
alpha = Image.fromarray(pixels[:, :, 1])
wide = numpy.concatenate([pixels, pixels[:, :, :1]], 2).astype(numpy.uint16) * 257 + 100

image.save(out / "rgb.png")
image.convert("L").save(out / "grey.png")
image.convert("1").save(out / "bits.png")
image.quantize(40).save(out / "palette.png", transparency=3)
Image.merge("RGBA", [*image.split(), alpha]).save(out / "rgba.png")
Image.merge("LA", [image.convert("L"), alpha]).save(out / "grey-alpha.png")
png("rgb16.png", 16, 2, wide[:, :, :3])
png("rgba16.png", 16, 6, wide)
png("grey-alpha16.png", 16, 4, wide[:, :, :2])
png("grey16.png", 16, 0, (wide[:, :, 0] // 100))
image.save(out / "444.jpg", quality=90, subsampling=0)
image.save(out / "420.jpg", quality=90, subsampling=2)
image.save(out / "progressive.jpg", quality=90, subsampling=2, progressive=True)
image.convert("L").save(out / "grey.jpg", quality=90)
image.convert("CMYK").save(out / "cmyk.jpg", quality=90, subsampling=0)
turned = Image.Exif()
turned[0x0112] = 6
image.save(out / "turned.jpg", quality=90, subsampling=0, exif=turned)
image.save(out / "lossy.webp", quality=90)
Image.merge("RGBA", [*image.split(), alpha]).save(out / "lossless.webp", lossless=True, exact=True)
Image.fromarray(scene(61, 47)).save(out / "large.png")

cases, expected = [], []


def case(name, file, limit, input, resize=None, crop=None, order=None, scale=1.0, mean=(), std=()):
    grey = order == "Grey" or 1 in (input[0], input[-1]) or len(input) == 2
    picture = Image.open(out / file).convert("L" if grey else "RGB")
    if resize:
        width, height = picture.size
        side = resize.get("shorterSide")
        if side and width < height:
            size = side, side * height // width
        elif side:
            size = side * width // height, side
        else:
            size = resize["width"], resize["height"]
        kernel = {"Bilinear": Image.BILINEAR, "Bicubic": Image.BICUBIC}[resize["filter"]]
        if "letterbox" in resize:
            # As Ultralytics' LetterBox, with Pillow's filters in the place of OpenCV's.
            ratio = min(size[0] / picture.size[0], size[1] / picture.size[1])
            inner = tuple(round(side * ratio) for side in picture.size)
            left, top = (round((a - b) / 2 - 0.1) for a, b in zip(size, inner))
            canvas = Image.new(picture.mode, size, (resize["letterbox"],) * len(picture.getbands()))
            canvas.paste(picture.resize(inner, kernel), (left, top))
            picture = canvas
        else:
            picture = picture.resize(size, kernel)
    if crop:
        left, top = (round((picture.size[0] - crop["width"]) / 2), round((picture.size[1] - crop["height"]) / 2))
        picture = picture.crop((left, top, left + crop["width"], top + crop["height"]))
    values = numpy.atleast_3d(numpy.asarray(picture)).astype(numpy.float64)
    if 3 in (input[0], input[-1]) and grey:
        values = values.repeat(3, 2)
    if order == "BGR":
        values = values[:, :, ::-1]
    values = (values * scale - (numpy.array(mean) if mean else 0)) / (numpy.array(std) if std else 1)
    if input[0] in (1, 3):
        values = values.transpose(2, 0, 1)
    if len(input) == 2:
        values = values[:, :, 0]
    fields = {"scale": scale, "mean": list(mean), "std": list(std), "resize": resize, "crop": crop, "channelOrder": order}
    told = {k: v for k, v in fields.items() if v not in (None, [])}
    cases.append({"name": name, "file": file, "preprocessing": told, "input": input, "shape": values.shape, "limit": limit})
    expected.append(values.astype("<f4").tobytes())


exact = ["rgb.png", "grey.png", "bits.png", "palette.png", "rgba.png", "grey-alpha.png", "rgb16.png", "rgba16.png"]
for file in [*exact, "grey-alpha16.png", "grey16.png", "lossless.webp"]:
    case(f"{file} as RGB", file, 0, [3, 13, 17])
    case(f"{file} as grey", file, 0, [1, -1, -1])
# Decoders enlarge subsampled colours in different ways.
lossy = {"444.jpg": 0, "420.jpg": 2, "progressive.jpg": 2, "grey.jpg": 0, "cmyk.jpg": 1, "turned.jpg": 0, "lossy.webp": 0}
for file, limit in lossy.items():
    case(file, file, limit, [-1, -1, 3])
case("BGR", "rgb.png", 0, [3, 13, 17], order="BGR")
case("grey in three channels", "rgb.png", 0, [13, 17, 3], order="Grey")
case("no axis for the channel", "grey.png", 0, [13, 17])
for filter in ["Bilinear", "Bicubic"]:
    case(f"{filter}, smaller", "large.png", 0, [3, -1, -1], resize={"shorterSide": 12, "filter": filter})
    case(f"{filter}, larger", "rgb.png", 0, [3, -1, -1], resize={"shorterSide": 21, "filter": filter})
    exactly = {"width": 9, "height": 21, "filter": filter}
    case(f"{filter}, another aspect", "large.png", 0, [1, 21, 9], resize=exactly)
    for size in [(32, 32), (31, 40), (20, 9), (90, 70)]:
        boxed = {"width": size[0], "height": size[1], "letterbox": 114, "filter": filter}
        case(f"{filter}, letterbox of {size[0]} x {size[1]}", "large.png", 0, [3, size[1], size[0]], resize=boxed)
case("the centre", "rgb.png", 0, [3, 6, 10], crop={"width": 10, "height": 6})
half = {"shorterSide": 16, "filter": "Bilinear"}
imagenet = {"scale": 1 / 255, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
case("as ImageNet", "large.png", 0, [3, 13, 13], resize=half, crop={"width": 13, "height": 13}, **imagenet)
case("as ImageNet, NHWC", "large.png", 0, [13, 13, 3], resize=half, crop={"width": 13, "height": 13}, **imagenet)

lines = ",\n".join(json.dumps(c) for c in cases)
(out / "cases.json").write_text(f"[\n{lines}\n]\n")
(out / "expected.f32").write_bytes(b"".join(expected))
