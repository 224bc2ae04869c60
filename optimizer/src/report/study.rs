use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use drydock_contract::{FailureReason, Graphs};
use serde::{Deserialize, Serialize};

use super::compare::{Value, sqnr};
use super::layers::{Cost, LayerRow, Layers};
use super::picture::png;
use crate::Error;
use crate::dataset::Dataset;
use crate::engine::Engine;
use crate::evaluate::{Answer, Changes, Sample};
use crate::inspect::summarize;
use crate::measure::Models;
use crate::onnx::{self, Graph, ModelError};
use crate::passes;
use crate::progress::Progress;

/// Images that layers are compared on: sums over thousands of activations need few.
const IMAGES: u64 = 16;
/// Multiply-accumulates that the comparison may take, of one graph: seconds. Fewer images where the model is large.
const MACS: u64 = 20_000_000_000;
/// Of the original's file. Larger graphs are not taken apart: there are several copies of them in memory then.
const MODEL_BYTES: usize = 256 << 20;

/// What only the report shows; `study.json` in the package.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Study {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<LayerStudy>,
    /// Evaluation images that the two models give different classes.
    pub changed_images: u64,
    /// Some of them, those that both models are surest of first.
    pub changed: Vec<ChangedImage>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerStudy {
    /// That outputs were compared on; 0: they were not.
    pub images: u64,
    pub layers: Vec<LayerRow>,
    /// What belongs to no layer.
    pub rest_original: Cost,
    pub rest_candidate: Cost,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangedImage {
    /// In the evaluation data, from 0.
    pub index: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<usize>,
    pub original: Answer,
    pub candidate: Answer,
    /// A PNG file in base64; absent where the input is no picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub png: Option<String>,
}

/// What the two graphs are made of; none if one of them cannot be told, as of an opset that is not known here.
pub fn graphs(original: &[u8], candidate: Option<&[u8]>) -> Option<Graphs> {
    let summary = |bytes: &[u8]| summarize(&parse(bytes).ok()?).ok();
    let original = summary(original)?;
    let candidate = match candidate {
        Some(bytes) => summary(bytes)?,
        None => original.clone(),
    };
    Some(Graphs { original, candidate })
}

/// Takes both graphs apart, compares them layer by layer on a few images, and makes pictures of what changed.
///
/// # Errors
/// A signal to end. Anything else leaves the layers out and is noted: the candidate is what it is.
pub fn study(engine: &Engine, models: &Models<'_>, changes: &Changes, progress: &mut Progress) -> Result<Study, Error> {
    progress.step("compare layers", 0, 1, "pair of models");
    let layers = match layers(engine, models, progress) {
        Ok(layers) => layers,
        Err(e) if e.reason() == FailureReason::Interrupted => return Err(e),
        Err(e) => {
            progress.note(&format!("the report is without layers: {e}"));
            None
        }
    };
    let shape = models.data.map(Dataset::item_shape).unwrap_or_default();
    let picture = |sample: &Sample| ChangedImage {
        index: sample.index,
        label: sample.label,
        original: sample.original,
        candidate: sample.candidate,
        png: png(&sample.input, shape, models.preprocessing).map(|file| BASE64_STANDARD.encode(file)),
    };
    Ok(Study { layers, changed_images: changes.images, changed: changes.samples.iter().map(picture).collect() })
}

fn parse(bytes: &[u8]) -> Result<Graph, ModelError> {
    onnx::parse(Bytes::copy_from_slice(bytes))
}

fn layers(engine: &Engine, models: &Models<'_>, progress: &mut Progress) -> Result<Option<LayerStudy>, Error> {
    if models.original.len() > MODEL_BYTES {
        progress.note("the report is without layers: the model is too large to take apart");
        return Ok(None);
    }
    let mut original = parse(models.original)?;
    let candidate = match models.candidate {
        Some(bytes) => {
            // As every recipe begins, so that names mean the same in both.
            (original, _) = passes::clean(original, engine)?;
            Some(parse(bytes)?)
        }
        None => None,
    };
    let layers = Layers::of(&original)?;
    let (before, rest_original) = layers.costs(&original)?;
    let (after, rest_candidate) = match &candidate {
        Some(candidate) => layers.costs(candidate)?,
        None => (before.clone(), rest_original),
    };
    let total = before.iter().fold(0_u64, |sum, c| sum.saturating_add(c.macs));
    let (images, noises) = match (&candidate, models.data) {
        (Some(candidate), Some(data)) => {
            let images = (MACS / total.max(1)).min(IMAGES).min(data.len() as u64);
            (images, noises(engine, [&original, candidate], &layers, data, images as usize, progress)?)
        }
        _ => (0, Vec::new()),
    };
    let mut noises = noises.into_iter();
    let rows = layers.layers.into_iter().zip(before).zip(after).map(|((layer, original), candidate)| LayerRow {
        name: layer.values.into_iter().next().unwrap_or_default(),
        operator: layer.operator,
        original,
        candidate,
        sqnr_decibels: noises.next().flatten(),
    });
    Ok(Some(LayerStudy { images, layers: rows.collect(), rest_original, rest_candidate }))
}

/// One for each layer, of the first of its values that both graphs have.
fn noises(
    engine: &Engine,
    [original, candidate]: [&Graph; 2],
    layers: &Layers,
    data: &Dataset,
    images: usize,
    progress: &mut Progress,
) -> Result<Vec<Option<f64>>, Error> {
    let (mine, theirs) = (original.index(), candidate.index());
    let shared = layers.layers.iter().enumerate().filter_map(|(i, layer)| {
        let name = layer.values.iter().find(|v| theirs.producer(v).is_some())?;
        Some((i, Value { name, channels_last: layer.channels_last, is_scaled: !mine.is_output(name) }))
    });
    let (places, values): (Vec<usize>, Vec<Value<'_>>) = shared.unzip();
    let mut found = vec![None; layers.layers.len()];
    if images > 0 {
        let measured = sqnr(engine, original, candidate, &values, data, images, progress)?;
        places.into_iter().zip(measured).for_each(|(place, noise)| found[place] = noise);
    }
    Ok(found)
}
