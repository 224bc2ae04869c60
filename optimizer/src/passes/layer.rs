use crate::onnx::{
    Graph, Index, ModelError, attribute_float, attribute_int, attribute_ints, attribute_text, element_count, floats,
    is_float,
};
use crate::proto::{NodeProto, TensorProto};

/// A `Conv`, `Gemm` or `MatMul` by constant weights of its own, seen as a matrix: one row for each output channel, one
/// column for each value that an output is the sum over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Position in the graph at the time it was taken.
    pub node: usize,
    pub input: String,
    pub output: String,
    pub rows: usize,
    pub columns: usize,
    pub form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// Weights (rows, channels / groups, kernel), applied to (N, channels, height, width).
    Conv(Window),
    /// Weights (columns, rows), or (rows, columns) where `transposed`, applied along the last axis. `biased`: an operator
    /// that can add a constant to the product.
    Dense { transposed: bool, biased: bool },
}

/// What a two-dimensional convolution reads for one output position: height first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    pub groups: usize,
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    pub dilations: [usize; 2],
    /// Above and to the left.
    pub pads: [usize; 2],
}

impl Layer {
    /// All of them, in topological order. Not one whose weights another node reads too: it could not be changed alone.
    ///
    /// # Errors
    /// A weight whose data does not fit its shape.
    pub fn all(graph: &Graph) -> Result<Vec<Self>, ModelError> {
        let index = graph.index();
        let found = (0..graph.nodes().len()).map(|i| Self::of(graph, &index, i));
        Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    fn of(graph: &Graph, index: &Index, position: usize) -> Result<Option<Self>, ModelError> {
        let node = &graph.nodes()[position];
        let constant = |i: usize| -> Option<&TensorProto> {
            let name = node.input_at(i)?;
            let own = index.sole_consumer(name) == Some(position);
            index.initializer(graph, name).filter(|t| own && is_float(t))
        };
        let (Some(input), [output], Some(weight)) = (node.input_at(0), node.output.as_slice(), constant(1)) else {
            return Ok(None);
        };
        if index.initializer(graph, input).is_some() || element_count(weight)? == 0 {
            return Ok(None);
        }
        let Some((rows, columns, form)) = form(node, &weight.dims) else { return Ok(None) };
        // A bias of several rows is a sum, not a bias; one value for all is rare, and not worth a case of its own.
        let bias = match node.input_at(2) {
            None => Vec::new(),
            Some(name) => match index.initializer(graph, name).filter(|t| is_float(t)) {
                Some(t) if t.dims.last() == Some(&(rows as i64)) && element_count(t)? == rows => floats(t)?,
                _ => return Ok(None),
            },
        };
        if !floats(weight)?.iter().chain(&bias).all(|v| v.is_finite()) {
            return Ok(None);
        }
        Ok(Some(Self { node: position, input: input.to_owned(), output: output.clone(), rows, columns, form }))
    }

    /// The weights, row-major, and the bias, zeros where there is none.
    ///
    /// # Errors
    /// As [`Layer::all`].
    pub fn weights(&self, graph: &Graph) -> Result<(Vec<f32>, Vec<f32>), ModelError> {
        let (index, node) = (graph.index(), &graph.nodes()[self.node]);
        let constant = |i: usize| node.input_at(i).and_then(|name| index.initializer(graph, name)).map(floats);
        let values = constant(1).transpose()?.unwrap_or_default();
        let bias = constant(2).transpose()?.unwrap_or_else(|| vec![0.0; self.rows]);
        let row_major = match self.form {
            Form::Conv(_) | Form::Dense { transposed: true, .. } => values,
            Form::Dense { transposed: false, .. } => transpose(&values, self.columns, self.rows),
        };
        Ok((row_major, bias))
    }

    /// Of one input of a batch. `output` is the shape of the result.
    pub fn positions(&self, output: &[i64]) -> usize {
        let inner = match self.form {
            Form::Conv(_) => output.get(2..),
            Form::Dense { .. } => output.get(1..output.len().saturating_sub(1)),
        };
        inner.unwrap_or_default().iter().product::<i64>().max(0) as usize
    }

    pub fn has_bias(&self) -> bool {
        !matches!(self.form, Form::Dense { biased: false, .. })
    }

    pub fn groups(&self) -> usize {
        match &self.form {
            Form::Conv(window) => window.groups,
            Form::Dense { .. } => 1,
        }
    }

    /// Appends what the outputs at `position` of row `item` of the batch are sums over. `shape`: of the input; `width`: of
    /// the output. One group only.
    pub fn gather(&self, shape: &[i64], values: &[f32], width: usize, item: usize, position: usize, to: &mut Vec<f32>) {
        let Form::Conv(window) = &self.form else {
            let per_item = values.len() / (shape[0].max(1) as usize);
            let start = item * per_item + position * self.columns;
            to.extend_from_slice(&values[start..start + self.columns]);
            return;
        };
        let [channels, height, wide] = [1, 2, 3].map(|i| shape[i] as usize);
        let (row, column) = (position / width.max(1), position % width.max(1));
        for channel in 0..channels {
            let plane = &values[(item * channels + channel) * height * wide..][..height * wide];
            for y in 0..window.kernel[0] {
                // Above the first row the subtraction wraps to a number that is no row.
                let at_y = (row * window.strides[0] + y * window.dilations[0]).wrapping_sub(window.pads[0]);
                for x in 0..window.kernel[1] {
                    let at_x = (column * window.strides[1] + x * window.dilations[1]).wrapping_sub(window.pads[1]);
                    let inside = at_y < height && at_x < wide;
                    to.push(if inside { plane[at_y * wide + at_x] } else { 0.0 });
                }
            }
        }
    }
}

pub(super) fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|c| (0..rows).map(move |r| values[r * columns + c])).collect()
}

fn form(node: &NodeProto, dims: &[i64]) -> Option<(usize, usize, Form)> {
    if node.is("Conv") && dims.len() == 4 {
        let pair = |name: &str, default: i64| -> Option<[usize; 2]> {
            match attribute_ints(node, name) {
                None => Some([default as usize; 2]),
                Some([a, b, ..]) if *a >= 0 && *b >= 0 => Some([*a as usize, *b as usize]),
                Some(_) => None,
            }
        };
        let kernel = [dims[2] as usize, dims[3] as usize];
        let window = Window {
            groups: usize::try_from(attribute_int(node, "group", 1)).ok().filter(|g| *g > 0)?,
            kernel,
            strides: pair("strides", 1)?,
            dilations: pair("dilations", 1)?,
            pads: pair("pads", 0)?,
        };
        let explicit = matches!(attribute_text(node, "auto_pad"), "" | "NOTSET");
        let columns = dims[1..].iter().product::<i64>() as usize;
        return explicit.then_some((dims[0] as usize, columns, Form::Conv(window)));
    }
    let (&[first, second], dense) = (dims, node.is("Gemm") || node.is("MatMul")) else { return None };
    let transposed = node.is("Gemm") && attribute_int(node, "transB", 0) != 0;
    let factors = [attribute_float(node, "alpha", 1.0), attribute_float(node, "beta", 1.0)];
    // Bit for bit 1: there is no tolerance to think about.
    let plain = attribute_int(node, "transA", 0) == 0 && factors.map(f32::to_bits) == [1.0_f32.to_bits(); 2];
    let (rows, columns) = if transposed { (first, second) } else { (second, first) };
    (dense && plain).then_some((rows as usize, columns as usize, Form::Dense { transposed, biased: node.is("Gemm") }))
}
