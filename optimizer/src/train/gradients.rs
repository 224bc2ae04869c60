use std::collections::BTreeSet;

use super::data::{Augment, Batch, Sampler, Samples};
use super::error::TrainError;
use super::learner::Learner;
use super::options::{Options, Teacher, check};
use super::tensor::plain;
use crate::engine::Engine;
use crate::onnx::Graph;
use crate::passes::lift_constants;

/// A value and the gradient of the loss with respect to it, for one batch, in ONNX's order of dimensions.
#[derive(Clone, Copy, Debug)]
pub struct Gradient<'a> {
    pub name: &'a str,
    pub shape: &'a [usize],
    pub value: &'a [f32],
    pub gradient: &'a [f32],
}

/// Hands the gradients of `values`, which may be weights or what nodes make, to `read`: `options.steps` batches of
/// `options.batch` images, nothing is changed. The loss is [`super::fit`]'s, a mean over the batch.
///
/// # Errors
/// As [`super::fit`]; a value that has no gradient.
pub fn gradients(
    engine: &Engine,
    graph: &Graph,
    teacher: Option<Teacher<'_>>,
    data: &Samples,
    options: &Options,
    values: &[String],
    read: impl FnMut(Gradient<'_>),
) -> Result<(), TrainError> {
    check(options, teacher, data)?;
    each(engine, graph, teacher, data, options, values, |learner, batch, keep| Ok(learner.step(batch, keep)?.1), read)
}

/// The same of what `options.heads` names in the place of a loss: of Σ ±z / rms(z), the signs drawn anew for each value and batch. The
/// expectation of the square of Σ gradient · weight is then by how much taking those weights out changes the heads, squared and summed, to first
/// order: the trace of (J·w)(J·w)ᵀ, as M. F. Hutchinson estimates it ("A Stochastic Estimator of the Trace of the Influence Matrix for
/// Laplacian Smoothing Splines", 1990). Needs neither labels nor a teacher.
///
/// # Errors
/// As [`gradients`].
pub fn sensitivities(
    engine: &Engine,
    graph: &Graph,
    data: &Samples,
    options: &Options,
    values: &[String],
    read: impl FnMut(Gradient<'_>),
) -> Result<(), TrainError> {
    let mut random = fastrand::Rng::with_seed(options.seed);
    let mut sign = move || if random.bool() { 1.0 } else { -1.0 };
    each(engine, graph, None, data, options, values, |learner, batch, keep| learner.probe(batch, keep, &mut sign), read)
}

#[expect(clippy::too_many_arguments, reason = "those of the two above, and what one batch comes to")]
fn each(
    engine: &Engine,
    graph: &Graph,
    teacher: Option<Teacher<'_>>,
    data: &Samples,
    options: &Options,
    values: &[String],
    mut step: impl FnMut(&mut Learner<'_>, &Batch, &BTreeSet<usize>) -> Result<Vec<Option<Vec<f32>>>, TrainError>,
    mut read: impl FnMut(Gradient<'_>),
) -> Result<(), TrainError> {
    let (graph, _) = lift_constants(graph.clone());
    let options = Options { batch_statistics: false, augment: Augment::default(), ..options.clone() };
    let mut learner = Learner::new(engine, &graph, teacher, &options, values)?;
    let mut slots = Vec::with_capacity(values.len());
    for name in values {
        let found = learner.tape.find(name).filter(|s| learner.tape.is_wanted(*s));
        let problem = "no gradient reaches it".to_owned();
        slots.push(found.ok_or_else(|| TrainError::NoGradient { node: name.clone(), problem })?);
    }
    let keep: BTreeSet<usize> = slots.iter().copied().collect();
    let mut sampler = Sampler::new(data, options.augment, options.seed);
    let mut batch = Batch::default();
    for _ in 0..options.steps {
        sampler.fill(options.batch, &mut batch);
        let grads = step(&mut learner, &batch, &keep)?;
        for (name, slot) in values.iter().zip(&slots) {
            let value = learner.tape.value(*slot);
            if let Some(gradient) = &grads[*slot] {
                let (value_plain, gradient) = (plain(&value.shape, &value.data), plain(&value.shape, gradient));
                read(Gradient { name, shape: &value.shape, value: &value_plain, gradient: &gradient });
            }
        }
        learner.give(grads);
    }
    Ok(())
}
