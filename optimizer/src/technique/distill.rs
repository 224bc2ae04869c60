use drydock_contract::Distill;

use crate::Error;
use crate::dataset::Dataset;
use crate::engine::Engine;
use crate::onnx::{Graph, signature};
use crate::progress::Progress;
use crate::train::{Augment, Options, Report, Samples, Teacher, fit};

/// Trains `graph` on the calibration images towards the answers of `teacher`. `keep_zeros`: what `sparsify` took away stays away.
pub(super) fn distill(
    engine: &Engine,
    graph: Graph,
    teacher: &Graph,
    (options, keep_zeros): (&Distill, bool),
    calibration: &Dataset,
    progress: &mut Progress,
) -> Result<Graph, Error> {
    let classes = if options.labels > 0.0 { Some(classes(teacher)?) } else { None };
    let samples = Samples::read(calibration, classes)?;
    let options = Options {
        steps: options.steps as usize,
        batch: options.batch as usize,
        learning_rate: options.learning_rate as f32,
        temperature: options.temperature as f32,
        labels: options.labels as f32,
        augment: Augment { shift: options.shift as usize, flip: options.flip },
        seed: options.seed.into(),
        // The graph is clean: what is left of BatchNormalization stands alone, and goes on as it is.
        batch_statistics: false,
        keep_zeros,
        ..Options::default()
    };
    let teacher = Teacher { graph: teacher, features: &[] };
    let (graph, report) = fit(engine, graph, Some(teacher), &samples, &options, progress)?;
    progress.note(&summary(&report));
    Ok(graph)
}

fn summary(report: &Report) -> String {
    let Report { steps, tensors, weights, first_loss, last_loss, frozen } = report;
    let frozen = frozen.as_ref().map_or_else(String::new, |node| format!("; untrained up to {node}"));
    format!(
        "distill: {steps} steps on {weights} weights of {tensors} tensors, loss {first_loss:.4} to {last_loss:.4}{frozen}"
    )
}

/// # Errors
/// Their number is not fixed.
pub(super) fn classes(graph: &Graph) -> Result<usize, Error> {
    let (_, outputs) = signature(graph)?;
    let found = outputs.first().and_then(|o| o.shape.get(1)).copied().unwrap_or_default();
    usize::try_from(found).ok().filter(|n| *n > 0).ok_or_else(|| {
        Error::Recipe(format!(
            "labels are asked for, and the output has {found} classes; expected a fixed number of them"
        ))
    })
}
