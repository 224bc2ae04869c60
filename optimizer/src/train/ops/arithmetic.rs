use super::{Gradients, Operator};
use crate::train::kernel::vectorized;
use crate::train::tensor::{Buffers, Tensor, advance, stored, to_storage};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
}

/// `Add`, `Sub`, `Mul` and `Div`, with broadcasting.
#[derive(Debug)]
pub(in super::super) struct Arithmetic(pub(in super::super) Binary);

/// How the three values lie over one another, in the order of storage; runs along the last dimension.
#[derive(Debug)]
struct Plan {
    /// Of the result, all dimensions but the last.
    outer: Vec<usize>,
    inner: usize,
    /// For a and b: what a step along each dimension is, 0 where the value is repeated.
    steps: [Vec<usize>; 2],
    shape: Vec<usize>,
}

impl Plan {
    fn new(a: &[usize], b: &[usize]) -> Result<Self, String> {
        let rank = a.len().max(b.len());
        let full = |s: &[usize]| [vec![1; rank - s.len()], s.to_vec()].concat();
        let (fa, fb) = (full(a), full(b));
        let shape: Option<Vec<usize>> = fa
            .iter()
            .zip(&fb)
            .map(|(a, b)| if a == b || *b == 1 { Some(*a) } else { (*a == 1).then_some(*b) })
            .collect();
        let shape = shape.ok_or_else(|| format!("shapes {a:?} and {b:?}; expected shapes that broadcast"))?;
        if a == b {
            // The same shape: one long run.
            let inner = shape.iter().product();
            return Ok(Self { outer: Vec::new(), inner, steps: [vec![1], vec![1]], shape });
        }
        let steps = |full: &[usize]| {
            let dims = stored(full);
            let mut step = vec![0; dims.len()];
            let mut size = 1;
            for i in (0..dims.len()).rev() {
                step[i] = if dims[i] == 1 { 0 } else { size };
                size *= dims[i];
            }
            step
        };
        let dims = stored(&shape);
        let (inner, outer) = dims.split_last().map_or((1, &[][..]), |(i, o)| (*i, o));
        Ok(Self { outer: outer.to_vec(), inner, steps: [steps(&fa), steps(&fb)], shape })
    }

    /// Calls `f` with the offsets of each run in the result, in a and in b.
    #[inline(always)]
    fn runs(&self, mut f: impl FnMut(usize, usize, usize)) {
        let mut at = vec![0; self.outer.len()];
        let start =
            |at: &[usize], steps: &[usize]| -> usize { at.iter().zip(steps).map(|(i, s)| i * s).sum::<usize>() };
        for run in 0..self.outer.iter().product::<usize>() {
            f(run * self.inner, start(&at, &self.steps[0]), start(&at, &self.steps[1]));
            advance(&mut at, &self.outer);
        }
    }

    /// Whether a run takes one value of this operand, again and again.
    fn repeats(&self, operand: usize) -> bool {
        self.steps[operand].last().copied().unwrap_or(0) == 0
    }
}

/// The operand as rank 4 where the other one is: the order of storage depends on the rank.
fn raised(x: &Tensor, rank: usize) -> Option<Tensor> {
    if rank != 4 || x.shape.len() == 4 {
        return None;
    }
    let shape = [vec![1; rank - x.shape.len()], x.shape.clone()].concat();
    let mut data = vec![0.0; x.data.len()];
    to_storage(&shape, &x.data, &mut data);
    Some(Tensor::new(&shape, data))
}

/// to = f(a, b) over one run; an operand of length 1 is repeated.
#[inline(always)]
fn run(to: &mut [f32], a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) {
    match (a, b) {
        ([a], b) if to.len() == b.len() => to.iter_mut().zip(b).for_each(|(t, b)| *t = f(*a, *b)),
        (a, [b]) if to.len() == a.len() => to.iter_mut().zip(a).for_each(|(t, a)| *t = f(*a, *b)),
        ([a], [b]) => to.fill(f(*a, *b)),
        (a, b) => to.iter_mut().zip(a).zip(b).for_each(|((t, a), b)| *t = f(*a, *b)),
    }
}

impl Arithmetic {
    fn operands(inputs: &[&Tensor]) -> [Option<Tensor>; 2] {
        let rank = inputs[0].shape.len().max(inputs[1].shape.len());
        [raised(inputs[0], rank), raised(inputs[1], rank)]
    }
}

impl Operator for Arithmetic {
    fn forward(&mut self, inputs: &[&Tensor], buffers: &mut Buffers) -> Result<Tensor, String> {
        let raised = Self::operands(inputs);
        let (a, b) = (raised[0].as_ref().unwrap_or(inputs[0]), raised[1].as_ref().unwrap_or(inputs[1]));
        let plan = Plan::new(&a.shape, &b.shape)?;
        let mut out = buffers.take(plan.shape.iter().product());
        let len = |operand| if plan.repeats(operand) { 1 } else { plan.inner };
        let (la, lb) = (len(0), len(1));
        let op = self.0;
        vectorized(|| {
            plan.runs(|to, at, bt| {
                let (to, a, b) = (&mut out[to..to + plan.inner], &a.data[at..at + la], &b.data[bt..bt + lb]);
                match op {
                    Binary::Add => run(to, a, b, |a, b| a + b),
                    Binary::Sub => run(to, a, b, |a, b| a - b),
                    Binary::Mul => run(to, a, b, |a, b| a * b),
                    Binary::Div => run(to, a, b, |a, b| a / b),
                }
            });
        });
        Ok(Tensor::new(&plan.shape, out))
    }

    fn backward(
        &mut self,
        inputs: &[&Tensor],
        output: &Tensor,
        mut grad: Vec<f32>,
        wanted: &[bool],
        buffers: &mut Buffers,
    ) -> Gradients {
        let same = inputs[0].shape == inputs[1].shape;
        if same && self.0 == Binary::Add {
            // The same gradient for both.
            let second = wanted[1].then(|| {
                let mut copy = buffers.take(grad.len());
                copy.copy_from_slice(&grad);
                copy
            });
            return vec![Some(grad), second];
        }
        let raised = Self::operands(inputs);
        let (a, b) = (raised[0].as_ref().unwrap_or(inputs[0]), raised[1].as_ref().unwrap_or(inputs[1]));
        let Ok(plan) = Plan::new(&a.shape, &b.shape) else { return vec![None, None] };
        let shapes = [&a.shape, &b.shape];
        let mut out: Gradients = vec![None, None];
        // What the gradient of each operand is, before it is summed over where the operand was repeated.
        for operand in [1, 0] {
            if !wanted[operand] {
                continue;
            }
            let mut full = if operand == 0 { std::mem::take(&mut grad) } else { buffers.take(grad.len()) };
            if operand == 1 {
                full.copy_from_slice(&grad);
            }
            let (len, other_len) = if plan.repeats(1 - operand) { (plan.inner, 1) } else { (plan.inner, plan.inner) };
            let other = if operand == 0 { &b.data } else { &a.data };
            let op = self.0;
            vectorized(|| {
                plan.runs(|to, at, bt| {
                    let run = &mut full[to..to + len];
                    let from = if operand == 0 { bt } else { at };
                    let other = &other[from..from + other_len];
                    match (op, operand) {
                        (Binary::Add, _) | (Binary::Sub, 0) => {}
                        (Binary::Sub, _) => run.iter_mut().for_each(|g| *g = -*g),
                        (Binary::Mul, _) => scale(run, other, |g, o| g * o),
                        (Binary::Div, 0) => scale(run, other, |g, o| g / o),
                        (Binary::Div, _) => {
                            // d(a/b)/db = -y/b
                            let b = &b.data[bt..bt + if plan.repeats(1) { 1 } else { plan.inner }];
                            scale(run, &output.data[to..to + len], |g, y| -g * y);
                            scale(run, b, |g, b| g / b);
                        }
                    }
                });
            });
            if plan.shape == *shapes[operand] {
                out[operand] = Some(full);
                continue;
            }
            let size = inputs[operand].data.len();
            let mut sums = vec![0.0_f64; size];
            plan.runs(|from, at, bt| {
                let to = if operand == 0 { at } else { bt };
                let run = &full[from..from + len];
                if plan.repeats(operand) {
                    sums[to] += run.iter().map(|v| f64::from(*v)).sum::<f64>();
                } else {
                    sums[to..to + len].iter_mut().zip(run).for_each(|(s, v)| *s += f64::from(*v));
                }
            });
            buffers.give(full);
            let mut summed: Vec<f32> = sums.iter().map(|s| *s as f32).collect();
            if let Some(tensor) = &raised[operand] {
                // Back to the rank that came.
                summed = Tensor::new(&tensor.shape, summed).to_row_major();
            }
            out[operand] = Some(summed);
        }
        if !grad.is_empty() {
            buffers.give(grad);
        }
        out
    }
}

#[inline(always)]
fn scale(run: &mut [f32], other: &[f32], f: impl Fn(f32, f32) -> f32) {
    match other {
        [one] => run.iter_mut().for_each(|g| *g = f(*g, *one)),
        many => run.iter_mut().zip(many).for_each(|(g, o)| *g = f(*g, *o)),
    }
}
