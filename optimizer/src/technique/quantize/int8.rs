use std::collections::{BTreeMap, BTreeSet};

use drydock_contract::{Quantize, Rounding};

use crate::Error;
use crate::calibrate::{Noise, Source, Walk};
use crate::dataset::Dataset;
use crate::engine::Engine;
use crate::onnx::Graph;
use crate::passes::{self, QuantizeReport, Scheme, Selection, Tuning};
use crate::progress::Progress;

/// Images that biases are corrected on: means need few, and each layer runs twice (ADR 10).
const CORRECTION_IMAGES: u32 = 32;

/// Static int8 of a graph that is clean: ranges from calibration data, equalization, what to leave in float, rounding, biases, and the
/// rewrite.
pub fn quantize(
    engine: &Engine,
    graph: Graph,
    (options, scheme): (&Quantize, Scheme),
    (calibration, is_detector): (&Dataset, bool),
    progress: &mut Progress,
) -> Result<Graph, Error> {
    let (graph, pooled) = passes::mean_to_pool(graph);
    let selection = passes::select(&graph, &BTreeSet::new())?;
    if selection.is_empty() {
        return Err(Error::Recipe(
            "nothing to quantize; expected a Conv, Gemm or MatMul with constant float32 weights".into(),
        ));
    }
    let source = Source { engine, data: calibration, images: options.images };
    let extents = source.extents(&graph, &selection, progress)?;
    let (graph, extents, equalized) = if options.equalize {
        passes::equalize(graph, &selection, extents)?
    } else {
        (graph, extents, passes::EqualizeReport::default())
    };
    // The weights have new names.
    let selection = passes::select(&graph, &BTreeSet::new())?;
    let mut tuning = Tuning { ranges: source.ranges(&graph, &extents, options, progress)?, ..Tuning::default() };
    let selection = mix(&source, (&graph, is_detector), selection, &tuning, (options, scheme), progress)?;
    if options.rounding == Rounding::Adaptive {
        round(&source, &graph, &selection, &mut tuning, (options, scheme), progress)?;
    }
    tuning.biases = options.bias_correction;
    let (mut quantized, report) = passes::quantize(graph.clone(), &selection, &tuning, scheme)?;
    if options.bias_correction {
        correct(&source, &graph, &selection, &tuning, (&mut quantized, &report), progress)?;
    }
    progress.note(&format!(
        "quantize: {} (absorbed {} Relu or Clip, wrote {} ReduceMean as a pool, equalized {} layers); in float: {}",
        counts(&report.quantized),
        report.absorbed,
        pooled.replaced,
        equalized.layers,
        counts(&report.left_in_float),
    ));
    Ok(quantized)
}

/// Leaves layers in float until the results are as near as asked: the most sensitive first, by the noise of each when it alone is int8. What its
/// return to float gains beside all others in int8 would tell the worst from the rest, and nothing of the rest beside the worst.
fn mix(
    source: &Source<'_>,
    (graph, is_detector): (&Graph, bool),
    selection: Selection,
    tuning: &Tuning,
    (options, scheme): (&Quantize, Scheme),
    progress: &mut Progress,
) -> Result<Selection, Error> {
    let target = options.min_sqnr;
    if target <= 0.0 {
        return Ok(selection);
    }
    let noise = if is_detector {
        let heads = passes::heads(graph)?;
        if heads.is_empty() {
            return Err(Error::NoHeads);
        }
        Noise::of_each(source, graph, heads)?
    } else {
        Noise::new(source, graph)?
    };
    let measure = |in_float: &BTreeSet<usize>| -> Result<(Selection, f64), Error> {
        let selection = passes::select(graph, in_float)?;
        let (quantized, _) = passes::quantize(graph.clone(), &selection, tuning, scheme)?;
        Ok((selection, noise.sqnr(&quantized)?))
    };
    let (all, whole) = measure(&BTreeSet::new())?;
    if whole >= target {
        progress.note(&format!("mixed precision: {whole:.1} dB with every layer in int8, at least {target} dB asked"));
        return Ok(all);
    }
    let layers: BTreeSet<usize> = all.weighted().collect();
    let mut alone: Vec<(f64, usize)> = Vec::with_capacity(layers.len());
    for layer in &layers {
        let others = layers.iter().copied().filter(|other| other != layer).collect();
        alone.push((measure(&others)?.1, *layer));
        progress.step("measure sensitivity", alone.len(), layers.len(), "layers");
    }
    alone.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let first = |n: usize| alone[..n].iter().map(|(_, layer)| *layer).collect::<BTreeSet<usize>>();
    // The fewest layers in float that reach the target, by bisection.
    let (mut short, mut enough) = (0, alone.len());
    while enough - short > 1 {
        let middle = usize::midpoint(short, enough);
        if measure(&first(middle))?.1 >= target { enough = middle } else { short = middle }
    }
    if enough == alone.len() {
        return Err(Error::Recipe(format!(
            "int8 reaches {whole:.1} dB of the {target} dB that minSqnr asks, and the best of {} layers alone {:.1} dB; ask for less",
            alone.len(),
            alone.last().map_or(whole, |(sqnr, _)| *sqnr)
        )));
    }
    let (selection, reached) = measure(&first(enough))?;
    progress.note(&format!(
        "mixed precision: {enough} of {} layers stay in float: {whole:.1} dB without, {reached:.1} dB with, {target} dB asked",
        alone.len()
    ));
    Ok(selection)
}

fn round(
    source: &Source<'_>,
    graph: &Graph,
    selection: &Selection,
    tuning: &mut Tuning,
    (options, scheme): (&Quantize, Scheme),
    progress: &mut Progress,
) -> Result<(), Error> {
    let mut codes = BTreeMap::new();
    source.grams(graph, selection, progress, |layer, grams| {
        let grams = (grams.as_slice(), options.bias_correction);
        if let Some(found) = passes::round_layer(graph, selection, tuning, scheme, layer, grams)? {
            codes.insert(layer, found);
        }
        Ok(())
    })?;
    tuning.codes = codes;
    Ok(())
}

/// Layer by layer, so that what earlier layers do wrong is in the means of later ones.
fn correct(
    source: &Source<'_>,
    graph: &Graph,
    selection: &Selection,
    tuning: &Tuning,
    (quantized, report): (&mut Graph, &QuantizeReport),
    progress: &mut Progress,
) -> Result<(), Error> {
    let source = Source { images: first(source.images, CORRECTION_IMAGES), ..*source };
    let values: BTreeMap<&str, ((f32, f32), bool)> = report
        .layers
        .keys()
        .map(|i| {
            let result = selection.result(graph, *i);
            let held = selection.last(*i) != *i;
            let free = (f32::NEG_INFINITY, f32::INFINITY);
            let limits = tuning.ranges.get(result).copied().filter(|_| held).unwrap_or(free);
            (result, (limits, selection.channels_last(*i)))
        })
        .collect();
    let mut walk = Walk::new(&source, quantized, report.layers.values().map(|written| written.end))?;
    let source = Source { images: walk.images() as u32, ..source };
    let float = source.means(graph, &values)?;
    let mut begin = 0;
    for (done, (layer, written)) in report.layers.iter().enumerate() {
        let result = selection.result(graph, *layer);
        let found = walk.means(quantized, (begin, written.end), result, values[result])?;
        if let Some(float) = float.get(result) {
            passes::shift_bias(quantized, written, &passes::bias_shift(float, &found));
        }
        begin = written.end;
        progress.step("correct biases", done + 1, report.layers.len(), "layers");
    }
    Ok(())
}

/// At most `most` of the images, where 0 stands for all there are.
fn first(images: u32, most: u32) -> u32 {
    if images == 0 { most } else { images.min(most) }
}

fn counts(nodes: &BTreeMap<String, usize>) -> String {
    let each: Vec<String> = nodes.iter().map(|(op, n)| format!("{n} {op}")).collect();
    if each.is_empty() { "nothing".into() } else { each.join(", ") }
}
