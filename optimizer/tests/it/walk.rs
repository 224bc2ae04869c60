//! A graph whose layers change one after another gives, part by part, what it gives as a whole.

use std::collections::BTreeSet;

use drydock_contract::{Quantize, Target};
use drydock_optimizer::calibrate::{Source, Walk};
use drydock_optimizer::dataset::Dataset;
use drydock_optimizer::onnx;
use drydock_optimizer::passes::{self, Scheme, Tuning};
use drydock_optimizer::progress::Progress;

use crate::common::{engine, example, preprocessing};
use crate::compress::graph;

const FREE: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);
/// Each bias is raised by this once its layer has been measured.
const SHIFT: f64 = 0.5;

#[test]
fn every_layer_sees_what_was_changed_before_it() {
    let engine = engine();
    for model in ["fashion-resnet.onnx", "fashion-mobilenet.onnx"] {
        let (graph, _) = passes::clean(graph(model), &engine).unwrap();
        let (inputs, _) = onnx::signature(&graph).unwrap();
        let data = Dataset::open(&example("fashion-calibration.npz"), &inputs, &preprocessing()).unwrap();
        // Not a whole number of batches.
        let source = Source { engine: &engine, data: &data, images: 20 };
        let selection = passes::select(&graph, &BTreeSet::new()).unwrap();
        let extents = source.extents(&graph, &selection, &mut Progress::silent()).unwrap();
        let options = Quantize::default();
        let ranges = source.ranges(&graph, &extents, &options, &mut Progress::silent()).unwrap();
        let tuning = Tuning { ranges, biases: true, ..Tuning::default() };
        // What is made for it does not saturate on any processor.
        let scheme = Scheme::new(true, Target::CpuAvx2);
        let (mut quantized, report) = passes::quantize(graph.clone(), &selection, &tuning, scheme).unwrap();

        let mut walk = Walk::new(&source, &quantized, report.layers.values().map(|w| w.end)).unwrap();
        assert_eq!(walk.images(), 20);
        let mut begin = 0;
        for (layer, written) in &report.layers {
            let result = selection.result(&graph, *layer);
            let found = walk.means(&quantized, (begin, written.end), result, (FREE, false)).unwrap();
            let whole = passes::cut(&quantized, &[result]);
            let expected = source.means(&whole, &[(result, (FREE, false))].into()).unwrap().remove(result).unwrap();
            assert_eq!(found.len(), expected.len(), "{model}, {result}");
            let largest = expected.iter().fold(0.0_f64, |m, mean| m.max(mean.value.abs()));
            for (channel, (a, b)) in found.iter().zip(&expected).enumerate() {
                let apart = (a.value - b.value).abs();
                assert!(apart <= 0.01 * largest, "{model}, {result}, channel {channel}: {a:?}, as a whole {b:?}");
            }
            passes::shift_bias(&mut quantized, written, &vec![SHIFT; found.len()]);
            begin = written.end;
        }
        assert!(report.layers.len() > 20, "{model}: {} layers", report.layers.len());
    }
}
