use super::groups::{Channels, Coupling};
use crate::onnx::{Graph, Index, ModelError, Shapes, attribute_int, attribute_ints, integers, is_float};
use crate::proto::{NodeProto, TensorProto};

/// Give each channel's result from that channel alone.
const UNARY: [&str; 24] = [
    "Relu",
    "Clip",
    "Sigmoid",
    "Tanh",
    "LeakyRelu",
    "HardSwish",
    "HardSigmoid",
    "Elu",
    "Selu",
    "Celu",
    "Gelu",
    "Erf",
    "Softplus",
    "Mish",
    "Identity",
    "Dropout",
    "Abs",
    "Neg",
    "Exp",
    "Sqrt",
    "ThresholdedRelu",
    "Softsign",
    "Floor",
    "Ceil",
];
const ELEMENTWISE: [&str; 7] = ["Add", "Sub", "Mul", "Div", "Max", "Min", "PRelu"];
const POOLS: [&str; 5] = ["MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool"];
const REDUCTIONS: [&str; 4] = ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"];

/// Joins what each node makes depend on one another, and locks what no rule speaks of.
pub(super) fn couple(graph: &Graph, shapes: &Shapes, coupling: &mut Coupling) -> Result<(), ModelError> {
    let index = graph.index();
    for node in graph.nodes() {
        let mut rule = Rule { graph, index: &index, shapes, node, coupling: &mut *coupling };
        if rule.apply()?.is_none() {
            for input in &node.input {
                coupling.lock(input);
            }
            // What a rule began to make.
            for output in &node.output {
                coupling.lock(output);
            }
        }
    }
    let values = graph.nodes().iter().flat_map(|n| n.input.iter().chain(&n.output));
    for value in values.filter(|v| index.is_output(v) || index.is_captured(v)) {
        coupling.lock(value);
    }
    Ok(())
}

struct Rule<'r> {
    graph: &'r Graph,
    index: &'r Index,
    shapes: &'r Shapes,
    node: &'r NodeProto,
    coupling: &'r mut Coupling,
}

impl Rule<'_> {
    /// None where no rule fits.
    fn apply(&mut self) -> Result<Option<()>, ModelError> {
        let op = self.node.op_type.as_str();
        let one_output = self.node.output.iter().filter(|o| !o.is_empty()).count() == 1;
        if !self.node.is(op) || !one_output {
            return Ok(None);
        }
        Ok(match op {
            "Conv" => self.conv(),
            "Gemm" => self.gemm(),
            "MatMul" => self.matmul(),
            "BatchNormalization" => self.batch_norm(),
            "Concat" => self.concat(),
            "Flatten" => self.flatten(),
            "Reshape" => self.reshape(),
            "Transpose" => self.transpose(),
            "Squeeze" | "Unsqueeze" => return self.squeeze(op == "Squeeze"),
            _ if UNARY.contains(&op) => self.same(),
            _ if ELEMENTWISE.contains(&op) => self.elementwise(),
            _ if POOLS.contains(&op) => self.made(0).filter(|(axis, _)| *axis == 1).and_then(|_| self.same()),
            _ if REDUCTIONS.contains(&op) => return self.reduce(),
            _ => None,
        })
    }

    fn constant(&self, input: usize) -> Option<&TensorProto> {
        self.index.initializer(self.graph, self.node.input_at(input)?)
    }

    fn made(&self, input: usize) -> Option<(usize, Channels)> {
        self.coupling.made(self.node.input_at(input)?)
    }

    fn sizes(&self, value: &str) -> Option<Vec<i64>> {
        self.shapes.sizes(value)
    }

    fn output(&self) -> &str {
        self.node.output.first().map_or("", String::as_str)
    }

    /// The axis of a constant input.
    fn constant_axis(&mut self, input: usize, axis: usize) -> Option<Channels> {
        let (name, count) =
            self.constant(input).filter(|t| is_float(t)).and_then(|t| Some((t.name.clone(), *t.dims.get(axis)?)))?;
        self.coupling.axis(&name, axis, usize::try_from(count).ok()?)
    }

    fn make(&mut self, axis: usize, count: usize) -> Option<Channels> {
        let output = self.output().to_owned();
        self.coupling.make(&output, axis, count)
    }

    /// Joins the bias at `input`, if there is one.
    fn bias(&mut self, input: usize, to: Channels) -> Option<()> {
        if self.node.input_at(input).is_none() {
            return Some(());
        }
        let dims = self.constant(input)?.dims.clone();
        match dims.iter().product::<i64>() {
            1 => {}
            n if n == to.count as i64 && dims.last() == Some(&n) => {
                let bias = self.constant_axis(input, dims.len() - 1)?;
                self.coupling.join_all(bias, to);
            }
            _ => return None,
        }
        Some(())
    }

    fn conv(&mut self) -> Option<()> {
        let dims = self.constant(1).filter(|t| is_float(t) && t.dims.len() >= 3)?.dims.clone();
        let groups = usize::try_from(attribute_int(self.node, "group", 1)).ok().filter(|g| *g > 0)?;
        let (rows, inner) = (dims[0] as usize, dims[1] as usize);
        if rows == 0 || inner == 0 || rows % groups != 0 {
            return None;
        }
        let weight = self.constant_axis(1, 0)?;
        let result = self.make(1, rows)?;
        self.coupling.join_all(weight, result);
        self.bias(2, result)?;
        // Every path from here reads the input; where it cannot be followed, it is locked and the outputs are still free.
        let input = self.node.input_at(0)?.to_owned();
        let source = self.coupling.read(&input, 1, inner * groups);
        let per_group = rows / groups;
        if groups > 1 && inner == 1 {
            for i in 0..rows {
                match source {
                    Some(source) => self.coupling.join(source, i / per_group, result, i),
                    // As many as the input has.
                    None => return None,
                }
            }
            return Some(());
        }
        let columns = self.constant_axis(1, 1)?;
        if let Some(source) = source {
            for i in 0..source.count {
                self.coupling.join(source, i, columns, i % inner);
            }
        } else {
            let weight = self.node.input_at(1)?.to_owned();
            self.lock_axis(&weight, 1, inner);
        }
        // The groups stay equally wide.
        for i in per_group..rows {
            self.coupling.join(result, i % per_group, result, i);
        }
        Some(())
    }

    /// The channels of one axis cannot be taken out; those of the tensor's other axes can.
    fn lock_axis(&mut self, tensor: &str, axis: usize, count: usize) {
        // A name that no tensor has: the NUL cannot be in one that ONNX Runtime takes.
        let guard = format!("{tensor}\0{axis}");
        if let (Some(guard_channels), Some(channels)) =
            (self.coupling.axis(&guard, 0, count), self.coupling.axis(tensor, axis, count))
        {
            self.coupling.join_all(guard_channels, channels);
        }
        self.coupling.lock(&guard);
    }

    fn dense(&mut self, axis_in: usize, columns: usize, read_at: usize, make_at: usize) -> Option<()> {
        let dims = self.constant(1).filter(|t| is_float(t) && t.dims.len() == 2)?.dims.clone();
        let (axis_out, rows) = (1 - axis_in, dims[1 - axis_in] as usize);
        if dims[axis_in] as usize != columns || rows == 0 {
            return None;
        }
        let weight = self.constant_axis(1, axis_out)?;
        let result = self.make(make_at, rows)?;
        self.coupling.join_all(weight, result);
        let name = self.node.input_at(0)?.to_owned();
        if let Some(source) = self.coupling.read(&name, read_at, columns) {
            let inner = self.constant_axis(1, axis_in)?;
            self.coupling.join_all(source, inner);
        } else {
            let weight = self.node.input_at(1)?.to_owned();
            self.lock_axis(&weight, axis_in, columns);
        }
        Some(())
    }

    fn gemm(&mut self) -> Option<()> {
        if attribute_int(self.node, "transA", 0) != 0 {
            return None;
        }
        let axis_in = usize::from(attribute_int(self.node, "transB", 0) != 0);
        let columns = *self.constant(1)?.dims.get(axis_in)? as usize;
        self.dense(axis_in, columns, 1, 1)?;
        let (_, result) = self.coupling.made(self.output())?;
        self.bias(2, result)
    }

    fn matmul(&mut self) -> Option<()> {
        let rank = self.shapes.get(self.output())?.rank().filter(|r| *r >= 2)?;
        let columns = *self.constant(1)?.dims.first()? as usize;
        self.dense(0, columns, rank - 1, rank - 1)
    }

    fn same(&mut self) -> Option<()> {
        let (axis, source) = self.made(0)?;
        let result = self.make(axis, source.count)?;
        self.coupling.join_all(source, result);
        Some(())
    }

    fn elementwise(&mut self) -> Option<()> {
        let rank = self.shapes.get(self.output())?.rank()?;
        // Where the channels are in the result, from the first operand that has any there.
        let aligned = |rule: &Self, i: usize| -> Option<(usize, usize, Channels)> {
            let own = rule.shapes.get(rule.node.input_at(i)?)?.rank()?;
            let (axis, channels) = rule.made(i)?;
            Some((axis + rank.checked_sub(own)?, axis, channels))
        };
        let (at, count) = (0..self.node.input.len())
            .filter_map(|i| aligned(self, i))
            .max_by_key(|(_, _, c)| c.count)
            .map(|(at, _, c)| (at, c.count))?;
        let result = self.make(at, count)?;
        for i in 0..self.node.input.len() {
            if let Some(dims) = self.constant(i).map(|t| t.dims.clone()) {
                let Some(axis) = (at + dims.len()).checked_sub(rank) else { continue };
                match dims[axis] {
                    1 => {}
                    n if n == count as i64 => {
                        let constant = self.constant_axis(i, axis)?;
                        self.coupling.join_all(constant, result);
                    }
                    _ => return None,
                }
                continue;
            }
            match aligned(self, i) {
                Some((place, _, channels)) if place == at && channels.count == count => {
                    self.coupling.join_all(channels, result);
                }
                // One channel beside all: a mask. It stays.
                Some((place, _, channels)) if place == at && channels.count == 1 => {
                    let name = self.node.input_at(i)?.to_owned();
                    self.coupling.lock(&name);
                }
                _ => return None,
            }
        }
        Some(())
    }

    fn batch_norm(&mut self) -> Option<()> {
        let (axis, source) = self.made(0).filter(|(axis, _)| *axis == 1)?;
        let result = self.make(axis, source.count)?;
        self.coupling.join_all(source, result);
        for i in 1..=4 {
            self.constant(i)?;
            self.bias(i, result)?;
        }
        Some(())
    }

    fn concat(&mut self) -> Option<()> {
        let rank = self.shapes.get(self.output())?.rank()? as i64;
        let axis = attribute_int(self.node, "axis", 0);
        let along = usize::try_from(if axis < 0 { axis + rank } else { axis }).ok()?;
        let parts: Option<Vec<(usize, Channels)>> = (0..self.node.input.len()).map(|i| self.made(i)).collect();
        let parts = parts.filter(|p| !p.is_empty())?;
        let at = parts[0].0;
        if parts.iter().any(|(axis, c)| *axis != at || (along != at && c.count != parts[0].1.count)) {
            return None;
        }
        let count = if along == at { parts.iter().map(|(_, c)| c.count).sum() } else { parts[0].1.count };
        let result = self.make(at, count)?;
        let mut start = 0;
        for (_, part) in parts {
            for i in 0..part.count {
                self.coupling.join(part, i, result, start + i);
            }
            if along == at {
                start += part.count;
            }
        }
        Some(())
    }

    fn flatten(&mut self) -> Option<()> {
        if attribute_int(self.node, "axis", 1) != 1 {
            return None;
        }
        self.fold()
    }

    /// (N, channels, ...) to (N, channels × ...).
    fn fold(&mut self) -> Option<()> {
        let (_, source) = self.made(0).filter(|(axis, _)| *axis == 1)?;
        let (from, to) = (self.sizes(self.node.input_at(0)?)?, self.sizes(self.output())?);
        let inner = from.get(2..)?.iter().product::<i64>();
        if to.len() != 2 || to[0] != from[0] || to[1] != from[1] * inner || inner <= 0 {
            return None;
        }
        let inner = inner as usize;
        let result = self.make(1, source.count * inner)?;
        for i in 0..result.count {
            self.coupling.join(source, i / inner, result, i);
        }
        Some(())
    }

    fn reshape(&mut self) -> Option<()> {
        self.fold()?;
        // Its target shape is written anew; what calculates it now is left alone.
        let output = self.output().to_owned();
        self.coupling.reshapes.insert(output);
        Some(())
    }

    fn transpose(&mut self) -> Option<()> {
        let (axis, source) = self.made(0)?;
        let order = attribute_ints(self.node, "perm")?;
        let at = order.iter().position(|p| *p == axis as i64)?;
        let result = self.make(at, source.count)?;
        self.coupling.join_all(source, result);
        Some(())
    }

    /// The axes of the attribute, or of input 1; ascending, none of them negative.
    fn axes(&self, rank: usize) -> Result<Option<Vec<usize>>, ModelError> {
        let axes = match (attribute_ints(self.node, "axes"), self.constant(1)) {
            (Some(axes), _) => axes.to_vec(),
            (None, Some(tensor)) => integers(tensor)?,
            (None, None) => return Ok(None),
        };
        let rank = rank as i64;
        let whole = axes.iter().map(|a| usize::try_from(if *a < 0 { a + rank } else { *a }).ok());
        let mut axes: Vec<usize> = match whole.collect::<Option<Vec<_>>>() {
            Some(axes) => axes,
            None => return Ok(None),
        };
        axes.sort_unstable();
        Ok(Some(axes))
    }

    fn squeeze(&mut self, squeeze: bool) -> Result<Option<()>, ModelError> {
        let longer = if squeeze { self.node.input_at(0).unwrap_or_default() } else { self.output() };
        let Some(rank) = self.shapes.get(longer).and_then(crate::onnx::ValueType::rank) else { return Ok(None) };
        let (Some(gone), Some((axis, source))) = (self.axes(rank)?, self.made(0)) else { return Ok(None) };
        let at = if squeeze {
            if gone.contains(&axis) {
                return Ok(None);
            }
            axis - gone.iter().filter(|a| **a < axis).count()
        } else {
            gone.iter().fold(axis, |at, inserted| at + usize::from(*inserted <= at))
        };
        Ok(self.make(at, source.count).map(|result| self.coupling.join_all(source, result)))
    }

    fn reduce(&mut self) -> Result<Option<()>, ModelError> {
        let rank = self.node.input_at(0).and_then(|x| self.shapes.get(x)).and_then(crate::onnx::ValueType::rank);
        let Some(rank) = rank else { return Ok(None) };
        let (Some(gone), Some((axis, source))) = (self.axes(rank)?, self.made(0)) else { return Ok(None) };
        if gone.contains(&axis) {
            return Ok(None);
        }
        let dropped = attribute_int(self.node, "keepdims", 1) == 0;
        let before = if dropped { gone.iter().filter(|a| **a < axis).count() } else { 0 };
        Ok(self.make(axis - before, source.count).map(|result| self.coupling.join_all(source, result)))
    }
}
