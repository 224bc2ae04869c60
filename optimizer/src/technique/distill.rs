use drydock_contract::{Distill, TensorSignature};

use super::Given;
use crate::Error;
use crate::calibrate::Source;
use crate::dataset::Dataset;
use crate::engine::Engine;
use crate::onnx::{Graph, Shapes, signature};
use crate::passes;
use crate::progress::Progress;
use crate::train::{Augment, Feature, Options, Report, Samples, Teacher, fit, shared_features};

/// Pairs of inner values that are compared at most.
const FEATURES: usize = 4;

/// Images that give a student's BatchNormalization its first statistics.
const NORM_IMAGES: u32 = 256;

/// What came before a training decides what stays as it is in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    /// What `sparsify` took away stays away.
    pub keep_zeros: bool,
    /// A student that was named: its BatchNormalization is trained too, in this lesson and in those after it, and folded afterwards.
    pub student: bool,
}

/// Trains `graph`, or the student that is named, towards the answers of `original`, or of the teacher that is named.
pub(super) fn distill(
    engine: &Engine,
    graph: Graph,
    original: &Graph,
    (options, before): (&Distill, Before),
    given: &Given<'_>,
    progress: &mut Progress,
) -> Result<Graph, Error> {
    let teacher = options.teacher.as_deref().map_or(Ok(original), |name| given.model(name))?;
    let student = options.student.as_deref().map(|name| given.model(name)).transpose()?;
    for (role, model) in [("teacher", options.teacher.as_ref().map(|_| teacher)), ("student", student)] {
        if let Some(model) = model {
            fits(role, model, original)?;
        }
    }
    let mut graph = student.cloned().unwrap_or(graph);
    if before.student {
        graph = with_norms(engine, graph, given.training()?)?;
    }

    let heads = if given.is_detector { head_pairs(&graph, teacher)? } else { Vec::new() };
    if given.is_detector && options.labels > 0.0 {
        return Err(Error::NoClasses { what: "distill.labels" });
    }
    let classes = if options.labels > 0.0 { Some(classes(teacher)?) } else { None };
    let samples = Samples::read(given.training()?, classes)?;
    let features = if options.features > 0.0 { features(&graph, teacher)? } else { Vec::new() };
    if options.features > 0.0 && features.is_empty() {
        progress.note("distill: no inner values of one name and shape to compare; the answers alone are learned");
    }
    let options = Options {
        steps: options.steps as usize,
        batch: options.batch as usize,
        learning_rate: options.learning_rate as f32,
        temperature: options.temperature as f32,
        labels: options.labels as f32,
        features: options.features as f32,
        heads,
        augment: Augment { shift: options.shift as usize, flip: options.flip },
        seed: options.seed.into(),
        // What is left of it in a graph that is clean stands alone, and goes on as it is.
        batch_statistics: before.student,
        keep_zeros: before.keep_zeros,
        ..Options::default()
    };
    let teacher = Teacher { graph: teacher, features: &features };
    let (graph, report) = fit(engine, graph, Some(teacher), &samples, &options, progress)?;
    progress.note(&summary(&report));
    Ok(graph)
}

/// With a `BatchNormalization` behind each convolution, where an exporter has folded them all: a deep network learns little without.
fn with_norms(engine: &Engine, graph: Graph, data: &Dataset) -> Result<Graph, Error> {
    let values = passes::without_norm(&graph);
    if values.is_empty() {
        return Ok(graph);
    }
    let spreads = Source { engine, data, images: NORM_IMAGES }.spreads(&graph, &values)?;
    Ok(passes::unfold_batch_norm(graph, &spreads)?)
}

/// The candidate answers in the place of the original.
fn fits(role: &str, model: &Graph, original: &Graph) -> Result<(), Error> {
    let (inputs, outputs) = signature(model)?;
    let (wanted_inputs, wanted_outputs) = signature(original)?;
    let names = |s: &[TensorSignature]| s.iter().map(|t| t.name.clone()).collect::<Vec<_>>();
    let (found, expected) = ((names(&inputs), names(&outputs)), (names(&wanted_inputs), names(&wanted_outputs)));
    if role == "teacher" && inputs.len() == 1 && !outputs.is_empty() || found == expected {
        return Ok(());
    }
    Err(Error::Recipe(format!(
        "the {role} has inputs {:?} and outputs {:?}; expected {:?} and {:?}, as the model has",
        found.0, found.1, expected.0, expected.1
    )))
}

/// What both have under one name, in one shape.
fn features(student: &Graph, teacher: &Graph) -> Result<Vec<Feature>, Error> {
    let (ours, theirs) = (Shapes::infer_batch(student, 1)?, Shapes::infer_batch(teacher, 1)?);
    let mut found = shared_features(student, teacher, usize::MAX);
    found.retain(|f| ours.sizes(&f.student).is_some_and(|s| theirs.sizes(&f.teacher) == Some(s)));
    let step = found.len().div_ceil(FEATURES).max(1);
    Ok(found.into_iter().step_by(step).collect())
}

/// Where two detectors are compared: see [`passes::heads`]. By their names, where the student has those of the teacher; else one after another.
///
/// # Errors
/// There are none, or they do not pair off.
pub(super) fn head_pairs(student: &Graph, teacher: &Graph) -> Result<Vec<Feature>, Error> {
    let theirs = passes::heads(teacher)?;
    if theirs.is_empty() {
        return Err(Error::NoHeads);
    }
    let index = student.index();
    let has_names = theirs.iter().all(|name| index.producer(name).is_some());
    let ours = if has_names { theirs.clone() } else { passes::heads(student)? };
    let shapes = (Shapes::infer_batch(student, 1)?, Shapes::infer_batch(teacher, 1)?);
    let sizes = |shapes: &Shapes, names: &[String]| -> Vec<Option<Vec<i64>>> {
        names.iter().map(|name| shapes.sizes(name)).collect()
    };
    let (found, expected) = (sizes(&shapes.0, &ours), sizes(&shapes.1, &theirs));
    if found != expected {
        return Err(Error::Recipe(format!(
            "distill: the student's last layers give {ours:?} of shapes {found:?}; expected those of the teacher's {theirs:?}, {expected:?}"
        )));
    }
    Ok(ours.into_iter().zip(theirs).map(|(student, teacher)| Feature { student, teacher }).collect())
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
