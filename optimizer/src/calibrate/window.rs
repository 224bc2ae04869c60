use crate::onnx::{Graph, Index, attribute_int, attribute_ints};
use crate::proto::NodeProto;

/// What a layer reads of its input for one output: an image's window, or a row of features.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Window {
    /// A `Conv` of two dimensions.
    Image(Image),
    /// A `Conv` that is not read window by window.
    Other,
    /// `Gemm` and `MatMul`: the last dimension.
    Features,
}

/// Sizes are (vertical, horizontal).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    kernel: [usize; 2],
    strides: [usize; 2],
    dilations: [usize; 2],
    /// Before the first row and column, and after the last.
    before: [usize; 2],
    after: [usize; 2],
    pub(super) groups: usize,
}

impl Window {
    pub(super) fn of(graph: &Graph, index: &Index, node: &NodeProto) -> Self {
        if !node.is("Conv") {
            return Self::Features;
        }
        let weight = node.input_at(1).and_then(|w| index.initializer(graph, w));
        let dims = weight.map_or(&[][..], |w| w.dims.get(2..).unwrap_or_default());
        let kernel: Vec<usize> = dims.iter().map(|d| usize::try_from(*d).unwrap_or(1).max(1)).collect();
        let [height, width] = kernel[..] else { return Self::Other };
        let sizes = |name: &str, default: i64| -> Option<Vec<usize>> {
            let found = attribute_ints(node, name).filter(|v| !v.is_empty());
            found
                .map_or_else(|| Some(vec![default; 4]), |v| Some(v.to_vec()))?
                .iter()
                .map(|v| (*v).try_into().ok())
                .collect()
        };
        let auto = node.attribute.iter().any(|a| a.name == "auto_pad" && !matches!(&a.s[..], b"" | b"NOTSET"));
        let (Some(strides), Some(dilations), Some(pads)) =
            (sizes("strides", 1), sizes("dilations", 1), sizes("pads", 0))
        else {
            return Self::Other;
        };
        let ([sy, sx, ..], [dy, dx, ..], [top, left, bottom, right]) = (&strides[..], &dilations[..], &pads[..]) else {
            return Self::Other;
        };
        if auto || *sy == 0 || *sx == 0 {
            return Self::Other;
        }
        Self::Image(Image {
            kernel: [height, width],
            strides: [*sy, *sx],
            dilations: [*dy, *dx],
            before: [*top, *left],
            after: [*bottom, *right],
            groups: usize::try_from(attribute_int(node, "group", 1)).unwrap_or(1).max(1),
        })
    }
}

impl Image {
    pub(super) fn places(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Rows and columns of the output.
    pub(super) fn outputs(&self, size: [usize; 2]) -> [usize; 2] {
        std::array::from_fn(|a| {
            let reach = self.dilations[a] * (self.kernel[a] - 1) + 1;
            let padded = size[a] + self.before[a] + self.after[a];
            padded.checked_sub(reach).map_or(0, |d| d / self.strides[a] + 1)
        })
    }

    /// Where place `k` of the kernel lies for output `o`, along one axis; `None` in the padding.
    fn at(&self, axis: usize, o: usize, k: usize, size: usize) -> Option<usize> {
        (o * self.strides[axis] + k * self.dilations[axis]).checked_sub(self.before[axis]).filter(|i| *i < size)
    }

    /// What one output reads, channel by channel; zeros in the padding.
    pub(super) fn read(&self, channels: &[f32], size: [usize; 2], output: [usize; 2], row: &mut Vec<f32>) {
        for channel in channels.chunks_exact(size[0] * size[1]) {
            for ky in 0..self.kernel[0] {
                let y = self.at(0, output[0], ky, size[0]);
                row.extend((0..self.kernel[1]).map(|kx| match (y, self.at(1, output[1], kx, size[1])) {
                    (Some(y), Some(x)) => channel[y * size[1] + x],
                    _ => 0.0,
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a straight loop over the definition.
    #[test]
    fn windows_at_strides_with_padding_and_dilation() {
        let values: Vec<f32> = (1..=35_u8).map(f32::from).collect();
        let size = [5, 7];
        for (kernel, strides, dilations, before, after, outputs) in [
            ([3, 3], [1, 1], [1, 1], [1, 1], [1, 1], [5, 7]),
            ([3, 2], [2, 1], [1, 2], [0, 1], [1, 0], [2, 6]),
            ([1, 1], [2, 2], [1, 1], [0, 0], [0, 0], [3, 4]),
            ([6, 1], [1, 1], [1, 1], [0, 0], [0, 0], [0, 7]),
        ] {
            let image = Image { kernel, strides, dilations, before, after, groups: 1 };
            assert_eq!(image.outputs(size), outputs, "{image:?}");
            for output in (0..outputs[0]).flat_map(|y| (0..outputs[1]).map(move |x| [y, x])) {
                let mut row = Vec::new();
                image.read(&values, size, output, &mut row);
                let place = |k: usize, axis: usize| {
                    (output[axis] * strides[axis] + k * dilations[axis]) as i64 - before[axis] as i64
                };
                let mut expected = Vec::new();
                for (y, x) in (0..kernel[0]).flat_map(|y| (0..kernel[1]).map(move |x| (y, x))) {
                    let (y, x) = (place(y, 0), place(x, 1));
                    let inside = (0..5).contains(&y) && (0..7).contains(&x);
                    expected.push(if inside { values[(y * 7 + x) as usize] } else { 0.0 });
                }
                assert_eq!(row, expected, "{image:?} at {output:?}");
            }
        }
    }
}
