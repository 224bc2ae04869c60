//! The recipes that a search may try, in the order in which it tries them.

use drydock_contract::{
    Calibration, Distill, Factorize, Format, Objective, Prune, Quantize, Recipe, Rounding, Technique,
};

use crate::Error;
use crate::onnx::{Graph, Shapes, macs};
use crate::passes::{Form, Layer};

/// Calibration images for what fits layers anew: more take longer and change little.
const IMAGES: u32 = 1000;

/// A network that comes with weights is brought nearer, not taught anew.
const STEPS: u32 = 100;
const RATE: f64 = 0.0002;

/// With images to train on, a network that has lost most of its channels is taught anew: fashion-resnet with 15 % of its
/// multiply-accumulates, in int8, lost 0.44 points.
const TAUGHT_STEPS: u32 = 1000;
const TAUGHT_RATE: f64 = 0.001;

/// Of a student's further lessons. A mirrored image is a question more for its teacher, whatever it shows.
const LESSON_RATE: f64 = 0.004;

/// Of a recipe in the API.
const MAX_TECHNIQUES: usize = 8;

/// What is rounded well learns to live with it, on images as they are: fashion-mobilenet agreed with itself in float on 99.69 % of 10,000 images, and
/// on 99.57 % before (`make bench-optimizer`).
const AWARE_STEPS: u32 = 400;
const AWARE_RATE: f64 = 0.0001;

/// Percentages of the multiply-accumulates that are left, without training: first one that most networks bear; then, as that is cheap beside
/// it, what is taught; then one that few networks bear, and those between. From the mildest on, or with two before what is taught, a
/// budget of five minutes was over too early on two cores.
const PRUNED: [u32; 5] = [35, 18, 25, 50, 70];

/// Decibels of signal over noise at the outputs, at least.
const MIXED: [u32; 2] = [30, 40];

/// What decides which recipes suit a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Profile {
    /// There are images to train on beside those of calibration.
    pub training: bool,
    /// Multiply-accumulates of layers with weights that can be changed: convolutions, and products of matrices.
    pub convolutions: u64,
    pub products: u64,
}

impl Profile {
    /// Of one item of these dimensions.
    pub(super) fn of(graph: &Graph, item: &[i64], training: bool) -> Result<Self, Error> {
        let counted = macs(graph, &Shapes::infer_item(graph, item)?)?;
        let mut profile = Self { training, ..Self::default() };
        for layer in Layer::all(graph)? {
            // At least one: a layer whose size is not known is a layer.
            let macs = counted.by_node.get(layer.node).copied().flatten().unwrap_or(0).max(1);
            match layer.form {
                Form::Conv(_) => profile.convolutions = profile.convolutions.saturating_add(macs),
                Form::Dense { .. } => profile.products = profile.products.saturating_add(macs),
            }
        }
        Ok(profile)
    }
}

/// Recipes that differ in one ratio only: what a mild one loses, a stronger one loses too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ladder {
    Prune,
    Factorize,
    Distill,
}

/// A network that was given to be taught in the place of the model, and may be taught longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pupil {
    pub student: String,
    /// Of all its lessons.
    pub steps: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub recipe: Recipe,
    pub pupil: Option<Pupil>,
    /// The ladder, and the percentage of the multiply-accumulates that is left.
    pub step: Option<(Ladder, u32)>,
    /// Only worth its time where this recipe does not keep the gates.
    pub instead_of: Option<String>,
}

/// Those that suit the model, and the further models in its place: the cheap and promising first, as time may run out.
pub(super) fn space<'s>(profile: Profile, objective: Objective, students: impl Iterator<Item = &'s str>) -> Vec<Entry> {
    let Profile { training, convolutions, products } = profile;
    let mut entries = Vec::new();
    if convolutions == 0 && products == 0 {
        return entries;
    }
    let int8 = || quantize(Quantize::default());
    let format = |format| quantize(Quantize { format, ..Quantize::default() });
    entries.push(alone("int8", vec![int8()]));
    // Where int8 loses too much, the layers that hurt most stay in float.
    for decibels in MIXED {
        let options = Quantize { min_sqnr: f64::from(decibels), ..Quantize::default() };
        let mixed = alone(&format!("int8-{decibels}-db"), vec![quantize(options)]);
        entries.push(Entry { instead_of: Some("int8".to_owned()), ..mixed });
    }
    if products > convolutions {
        // Transformers: activations whose ranges differ from input to input.
        entries.push(alone("dynamic-int8", vec![format(Format::DynamicInt8)]));
    }
    for name in students {
        let options =
            Distill { student: Some(name.to_owned()), steps: STEPS, learning_rate: RATE, ..Distill::default() };
        let first = alone(&format!("{name}-distill-int8"), vec![distill(options), int8()]);
        // On the few images of calibration it would learn these by heart.
        let pupil = training.then(|| Pupil { student: name.to_owned(), steps: STEPS });
        entries.push(Entry { pupil, ..first });
    }
    let pruned = |percent| rung(Ladder::Prune, percent, "int8", vec![prune(percent), int8()]);
    for (at, percent) in PRUNED.into_iter().enumerate() {
        entries.push(pruned(percent));
        if at == 0 && training {
            entries.extend([15, 10].map(taught));
        }
        if percent == 25 && training {
            entries.push(taught(percent));
        }
        if percent == 50 {
            // Made on the way, and best where int8 is no faster.
            entries.push(alone("prune-50", vec![prune(percent)]));
        }
    }
    for percent in [50, 35, 70] {
        entries.push(rung(Ladder::Factorize, percent, "int8", vec![factorize(percent), int8()]));
        if percent == 50 {
            entries.push(alone("factorize-50", vec![factorize(percent)]));
        }
    }
    if !training {
        entries.extend([50, 35, 25, 18].map(|percent| distilled(percent, Distill::default())));
    }
    // For accuracy.
    let mse = Quantize { calibration: Calibration::Mse, ..Quantize::default() };
    entries.push(alone("int8-mse", vec![quantize(mse.clone())]));
    let adaptive = quantize(Quantize { rounding: Rounding::Adaptive, images: IMAGES, ..mse });
    entries.push(alone("int8-adaptive", vec![adaptive.clone()]));
    if training {
        let options = Distill { steps: AWARE_STEPS, learning_rate: AWARE_RATE, shift: 0, ..Distill::default() };
        entries.push(alone("int8-adaptive-distill", vec![adaptive, distill(options)]));
    }
    if objective != Objective::Latency {
        // Smaller files that are no faster.
        entries.push(alone("float16", vec![format(Format::Float16)]));
        if products > convolutions {
            entries.push(alone("weight-int8", vec![format(Format::WeightInt8)]));
            entries.push(alone("weight-int4", vec![format(Format::WeightInt4)]));
        }
    }
    entries
}

impl Entry {
    /// Its student after a further lesson of so many steps; `None` where it is no student's, or the recipe would be too long.
    pub fn taught_on(&self, steps: u32) -> Option<Self> {
        let Pupil { student, steps: had } = self.pupil.as_ref()?;
        let mut techniques = self.recipe.techniques.clone();
        let last = techniques.len().checked_sub(1).filter(|n| n + 2 <= MAX_TECHNIQUES)?;
        // Other images, or the same ones in another order.
        let seed = last as u32;
        let options = Distill { steps, learning_rate: LESSON_RATE, shift: 0, flip: true, seed, ..Distill::default() };
        techniques.insert(last, distill(options));
        let pupil = Pupil { student: student.clone(), steps: had + steps };
        let name = format!("{student}-distill-{}-int8", pupil.steps);
        Some(Self { pupil: Some(pupil), ..alone(&name, techniques) })
    }
}

fn alone(name: &str, techniques: Vec<Technique>) -> Entry {
    Entry { recipe: Recipe { name: name.to_owned(), techniques }, pupil: None, step: None, instead_of: None }
}

fn rung(ladder: Ladder, percent: u32, then: &str, techniques: Vec<Technique>) -> Entry {
    let first = if ladder == Ladder::Factorize { "factorize" } else { "prune" };
    Entry { step: Some((ladder, percent)), ..alone(&format!("{first}-{percent}-{then}"), techniques) }
}

fn taught(percent: u32) -> Entry {
    distilled(percent, Distill { steps: TAUGHT_STEPS, learning_rate: TAUGHT_RATE, ..Distill::default() })
}

fn distilled(percent: u32, options: Distill) -> Entry {
    let techniques = vec![prune(percent), distill(options), quantize(Quantize::default())];
    let instead_of = PRUNED.contains(&percent).then(|| format!("prune-{percent}-int8"));
    Entry { instead_of, ..rung(Ladder::Distill, percent, "distill-int8", techniques) }
}

fn distill(options: Distill) -> Technique {
    Technique { distill: Some(options), ..Technique::default() }
}

fn quantize(options: Quantize) -> Technique {
    Technique { quantize: Some(options), ..Technique::default() }
}

fn prune(percent: u32) -> Technique {
    let options = Prune { macs_ratio: f64::from(percent) / 100.0, images: IMAGES, ..Prune::default() };
    Technique { prune: Some(options), ..Technique::default() }
}

fn factorize(percent: u32) -> Technique {
    let options = Factorize { images: IMAGES, ..Factorize::macs(f64::from(percent) / 100.0) };
    Technique { factorize: Some(options), ..Technique::default() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn names(profile: Profile, objective: Objective) -> Vec<String> {
        space(profile, objective, std::iter::empty()).into_iter().map(|e| e.recipe.name).collect()
    }

    #[test]
    fn what_suits_the_model() {
        let vision = Profile { convolutions: 100, products: 1, training: false };
        let text = Profile { convolutions: 0, products: 100, training: false };
        let taught = Profile { training: true, ..vision };
        for (profile, objective, has, has_not) in [
            (vision, Objective::Latency, "prune-35-int8", "float16"),
            (vision, Objective::Size, "float16", "weight-int4"),
            (vision, Objective::Latency, "prune-18-distill-int8", "prune-10-distill-int8"),
            (taught, Objective::Latency, "prune-10-distill-int8", "prune-18-distill-int8"),
            (vision, Objective::Accuracy, "int8-adaptive", "int8-adaptive-distill"),
            (taught, Objective::Accuracy, "int8-adaptive-distill", "dynamic-int8"),
            (text, Objective::Latency, "dynamic-int8", "weight-int8"),
            (text, Objective::Size, "weight-int4", "original"),
        ] {
            let found = names(profile, objective);
            let holds = |name: &str| found.iter().any(|n| n == name);
            assert!(holds(has) && !holds(has_not), "{profile:?}, {objective:?}: {found:?}");
            assert_eq!(found[0], "int8", "what takes a second comes first");
        }
        // The budget may be over after these.
        let first = &names(taught, Objective::Latency)[..5];
        // Those with decibels only where int8 breaks a gate.
        assert_eq!(first, ["int8", "int8-30-db", "int8-40-db", "prune-35-int8", "prune-15-distill-int8"]);
        assert!(names(Profile::default(), Objective::Size).is_empty());
    }

    /// As the API asks of recipes, and as others refer to them.
    #[test]
    fn names_are_unique_and_known() {
        for training in [false, true] {
            let profile = Profile { convolutions: 1, products: 2, training };
            let all = space(profile, Objective::Size, ["tiny"].into_iter());
            let names: BTreeSet<&str> = all.iter().map(|e| e.recipe.name.as_str()).collect();
            assert_eq!(names.len(), all.len());
            let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            for entry in &all {
                assert!(entry.recipe.name.len() <= 40 && entry.recipe.name.chars().all(is_name), "{entry:?}");
                assert!(entry.instead_of.iter().all(|other| names.contains(other.as_str())), "{entry:?}");
            }
        }
    }
}
