use std::ops::Range;

use crate::onnx::{attribute_int, attribute_ints};
use crate::proto::NodeProto;

/// A window that slides over an image: of a convolution or a pool.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Window {
    pub(super) kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    padding: Padding,
    round_up: bool,
}

#[derive(Clone, Copy, Debug)]
enum Padding {
    /// Top, left, bottom, right.
    Explicit([usize; 4]),
    SameUpper,
    SameLower,
}

impl Window {
    /// From the attributes of `Conv`, `MaxPool` or `AveragePool`; `kernel` where there is no `kernel_shape`.
    pub(in super::super) fn new(node: &NodeProto, kernel: Option<[usize; 2]>) -> Result<Self, String> {
        let pair = |name: &str, default: Option<[usize; 2]>| match attribute_ints(node, name) {
            None => default.ok_or_else(|| format!("no {name}")),
            Some([a, b]) if *a > 0 && *b > 0 => Ok([*a as usize, *b as usize]),
            Some(other) => Err(format!("{name} {other:?}; expected two positive numbers")),
        };
        let automatic = node.attribute.iter().find(|a| a.name == "auto_pad").map_or(&b"NOTSET"[..], |a| &a.s[..]);
        let padding = match (automatic, attribute_ints(node, "pads")) {
            (b"SAME_UPPER", _) => Padding::SameUpper,
            (b"SAME_LOWER", _) => Padding::SameLower,
            (b"VALID", _) | (b"NOTSET", None) => Padding::Explicit([0; 4]),
            (b"NOTSET", Some([t, l, b, r])) if [t, l, b, r].iter().all(|p| **p >= 0) => {
                Padding::Explicit([*t as usize, *l as usize, *b as usize, *r as usize])
            }
            (_, pads) => return Err(format!("pads {pads:?}; expected four numbers, none negative")),
        };
        Ok(Self {
            kernel: pair("kernel_shape", kernel)?,
            stride: pair("strides", Some([1, 1]))?,
            dilation: pair("dilations", Some([1, 1]))?,
            padding,
            round_up: attribute_int(node, "ceil_mode", 0) != 0,
        })
    }

    /// Nothing but the pixel itself, at every pixel.
    pub(super) fn is_identity(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && matches!(self.padding, Padding::Explicit([0, 0, 0, 0]))
    }

    /// Over an image of shape (N, C, H, W).
    pub(super) fn over(&self, [n, c, h, w]: [usize; 4]) -> Result<Sliding, String> {
        let mut out = [0; 2];
        let mut begin = [0; 2];
        for (i, len) in [h, w].into_iter().enumerate() {
            let reach = (self.kernel[i] - 1) * self.dilation[i] + 1;
            let total = |pads: usize| (len + pads).checked_sub(reach);
            (out[i], begin[i]) = match self.padding {
                Padding::Explicit(pads) => {
                    let room = total(pads[i] + pads[i + 2])
                        .ok_or_else(|| format!("an image of {h}x{w}, smaller than the kernel {:?}", self.kernel))?;
                    let mut out = room / self.stride[i] + 1;
                    // A window that would begin in the padding behind the image is left out.
                    if self.round_up && room % self.stride[i] != 0 && out * self.stride[i] < len + pads[i] {
                        out += 1;
                    }
                    (out, pads[i])
                }
                same => {
                    let out = len.div_ceil(self.stride[i]);
                    let pads = ((out.max(1) - 1) * self.stride[i] + reach).saturating_sub(len);
                    (out, if matches!(same, Padding::SameUpper) { pads / 2 } else { pads.div_ceil(2) })
                }
            };
        }
        Ok(Sliding { n, c, h, w, oh: out[0], ow: out[1], begin, window: *self })
    }
}

/// A window over one image size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sliding {
    pub(super) n: usize,
    pub(super) c: usize,
    pub(super) h: usize,
    pub(super) w: usize,
    pub(super) oh: usize,
    pub(super) ow: usize,
    begin: [usize; 2],
    window: Window,
}

impl Sliding {
    /// The rows of the kernel that lie inside the image for this row of the result.
    pub(super) fn rows(&self, oy: usize) -> Range<usize> {
        self.inside(0, oy, self.h)
    }

    pub(super) fn columns(&self, ox: usize) -> Range<usize> {
        self.inside(1, ox, self.w)
    }

    fn inside(&self, axis: usize, out: usize, len: usize) -> Range<usize> {
        let Window { kernel, stride, dilation, .. } = self.window;
        let at = out * stride[axis];
        let first = self.begin[axis].saturating_sub(at).div_ceil(dilation[axis]);
        let last = (len + self.begin[axis]).saturating_sub(at).div_ceil(dilation[axis]);
        first.min(kernel[axis])..last.min(kernel[axis])
    }

    /// Where the image is read for this row of the result and this row of the kernel; only for those of [`Self::rows`].
    pub(super) fn y(&self, oy: usize, ky: usize) -> usize {
        oy * self.window.stride[0] + ky * self.window.dilation[0] - self.begin[0]
    }

    pub(super) fn x(&self, ox: usize, kx: usize) -> usize {
        ox * self.window.stride[1] + kx * self.window.dilation[1] - self.begin[1]
    }

    pub(super) fn kernel(&self) -> [usize; 2] {
        self.window.kernel
    }

    /// Columns of the kernel lie side by side in the image.
    pub(super) fn is_dense(&self) -> bool {
        self.window.dilation[1] == 1
    }

    /// Pixels of the result, over all images.
    pub(super) fn pixels(&self) -> usize {
        self.n * self.oh * self.ow
    }
}
