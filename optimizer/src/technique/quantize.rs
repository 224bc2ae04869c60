mod int8;

use drydock_contract::{Format, Quantize, Target};

use crate::Error;
use crate::dataset::Dataset;
use crate::engine::Engine;
use crate::onnx::Graph;
use crate::passes::{self, Half, HalfReport, Scheme};
use crate::progress::Progress;

/// Fewer bits for weights and activations, in the format that the options name.
pub fn quantize(
    engine: &Engine,
    graph: Graph,
    (options, target): (&Quantize, Target),
    (calibration, is_detector): (Option<&Dataset>, bool),
    progress: &mut Progress,
) -> Result<Graph, Error> {
    let scheme = Scheme::new(options.per_channel, target);
    match options.format {
        Format::Int8 => {
            let data = (calibration.ok_or(Error::NoDataset)?, is_detector);
            int8::quantize(engine, graph, (options, scheme), data, progress)
        }
        Format::DynamicInt8 => {
            let (graph, report) = passes::dynamic(graph, scheme)?;
            products(report.quantized, progress)?;
            Ok(graph)
        }
        Format::WeightInt8 | Format::WeightInt4 => {
            let bits = if options.format == Format::WeightInt4 { 4 } else { 8 };
            let (graph, report) = passes::weight_only(graph, bits, options.block_size as usize)?;
            products(report.quantized, progress)?;
            Ok(graph)
        }
        Format::Float16 | Format::BFloat16 => {
            let half = if options.format == Format::Float16 { Half::Float16 } else { Half::BFloat16 };
            let (graph, HalfReport { halved, left }) = passes::halve(graph, half)?;
            if halved == 0 {
                return Err(Error::Recipe(format!(
                    "nothing to quantize; expected weights in float32 that 16 bits hold, found {left} with values beyond them"
                )));
            }
            progress.note(&format!("quantize: {halved} tensors in 16 bits, {left} with values beyond them in float32"));
            Ok(graph)
        }
    }
}

fn products(quantized: usize, progress: &mut Progress) -> Result<(), Error> {
    if quantized == 0 {
        return Err(Error::Recipe(
            "nothing to quantize; expected a MatMul or Gemm with constant float32 weights".into(),
        ));
    }
    progress.note(&format!("quantize: {quantized} MatMul and Gemm"));
    Ok(())
}

/// What is wrong with the options on this target, if anything.
pub fn check(options: &Quantize, target: Option<Target>) -> Option<String> {
    let Quantize { format, percentile, min_sqnr, block_size, .. } = options;
    let formats = target.map(|t| t.rules().formats);
    if let (Some(target), Some(formats)) = (target, formats)
        && !formats.contains(format)
    {
        let known: Vec<String> = formats.iter().map(|f| format!("{f:?}")).collect();
        Some(format!("format {format:?}, which the target {target} does not run; expected one of {}", known.join(", ")))
    } else if !(50.0..=100.0).contains(percentile) {
        Some(format!("percentile {percentile}; expected 50 to 100"))
    } else if !(0.0..=120.0).contains(min_sqnr) {
        Some(format!("minSqnr {min_sqnr}; expected 0 to 120 dB"))
    } else if ![16, 32, 64, 128, 256].contains(block_size) {
        Some(format!("blockSize {block_size}; expected 16, 32, 64, 128 or 256"))
    } else {
        None
    }
}
