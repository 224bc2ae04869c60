//! Prune and factorize on the example models and on hand-made graphs.

use drydock_contract::{Factorize, Importance, Preprocessing, Prune, Quantize, Recipe, Technique};
use drydock_optimizer::dataset::Dataset;
use drydock_optimizer::onnx::{self, Graph, Shapes};
use drydock_optimizer::progress::Progress;
use drydock_optimizer::{Error, technique};

use crate::common::{engine, example, preprocessing};
use crate::graphs::{data, model, node, value, weight};

fn recipe(techniques: &[Technique]) -> Recipe {
    Recipe { name: "small".into(), techniques: techniques.to_vec() }
}

fn factorize(options: Factorize) -> Technique {
    Technique { factorize: Some(options), ..Technique::default() }
}

fn prune(options: Prune) -> Technique {
    Technique { prune: Some(options), ..Technique::default() }
}

/// 128 of the calibration images are enough to see that it works.
const FEW: u32 = 128;

fn few_factorize(macs_ratio: f64) -> Technique {
    factorize(Factorize { macs_ratio, images: FEW, ..Factorize::default() })
}

fn few_prune(macs_ratio: f64) -> Technique {
    prune(Prune { macs_ratio, images: FEW, ..Prune::default() })
}

fn graph(model: &str) -> Graph {
    onnx::read(&example(model)).unwrap().graph
}

fn apply(graph: Graph, techniques: &[Technique]) -> Result<Vec<u8>, Error> {
    let (inputs, _) = onnx::signature(&graph)?;
    let data = Dataset::open(&example("fashion-calibration.npz"), &inputs, &preprocessing())?;
    technique::apply(&engine(), graph, &recipe(techniques), Some(&data), &mut Progress::silent())
}

fn macs(graph: &Graph) -> u64 {
    onnx::macs(graph, &Shapes::infer_batch(graph, 1).unwrap()).unwrap().total
}

/// Share of the calibration images that get the class that the original gives them.
fn agreement(original: &[u8], result: &[u8]) -> f64 {
    let graph = onnx::parse(original.to_vec().into()).unwrap();
    let (inputs, outputs) = onnx::signature(&graph).unwrap();
    let data = Dataset::open(&example("fashion-calibration.npz"), &inputs, &preprocessing()).unwrap();
    let name = outputs[0].name.as_str();
    let found = drydock_optimizer::evaluate::evaluate(
        &engine(),
        original,
        Some(result),
        name,
        &data,
        &mut Progress::silent(),
    );
    found.unwrap().agreement
}

struct Case {
    name: &'static str,
    model: &'static str,
    techniques: Vec<Technique>,
    most_macs: f64,
    least_agreement: f64,
}

#[test]
fn example_models() {
    let blind = Prune { macs_ratio: 0.8, images: FEW, ..Prune::default() };
    let magnitude = Prune { importance: Importance::Magnitude, ..blind.clone() };
    let activation = Prune { importance: Importance::Activation, ..blind };
    let int8 = Technique { quantize: Some(Quantize::default()), ..Technique::default() };
    let alone = Factorize { macs_ratio: 0.7, images: FEW, reconstruct: false };
    for case in [
        Case {
            name: "low rank",
            model: "fashion-resnet.onnx",
            techniques: vec![few_factorize(0.5)],
            most_macs: 0.5,
            least_agreement: 97.0,
        },
        Case {
            name: "low rank, layer by layer",
            model: "fashion-resnet.onnx",
            techniques: vec![factorize(alone)],
            most_macs: 0.7,
            least_agreement: 97.0,
        },
        Case {
            name: "channels, then low rank, then int8",
            model: "fashion-resnet.onnx",
            techniques: vec![few_prune(0.7), few_factorize(0.7), int8],
            most_macs: 0.49,
            least_agreement: 94.0,
        },
        Case {
            name: "channels of a network with depthwise convolutions and BatchNormalization",
            model: "fashion-mobilenet-bn.onnx",
            techniques: vec![few_prune(0.8)],
            most_macs: 0.8,
            least_agreement: 93.0,
        },
        Case {
            name: "channels by magnitude",
            model: "fashion-mobilenet.onnx",
            techniques: vec![prune(magnitude)],
            most_macs: 0.8,
            least_agreement: 80.0,
        },
        Case {
            name: "channels by activation",
            model: "fashion-mobilenet.onnx",
            techniques: vec![prune(activation)],
            most_macs: 0.8,
            least_agreement: 80.0,
        },
    ] {
        let original = graph(case.model);
        let result = apply(original.clone(), &case.techniques).unwrap();
        let share = macs(&onnx::parse(result.clone().into()).unwrap()) as f64 / macs(&original) as f64;
        let agreement = agreement(&original.encode(), &result);
        println!("{}: {:.1} % of the multiply-accumulates, agreement {agreement:.2} %", case.name, 100.0 * share);
        assert!(share <= case.most_macs, "{}: {share}", case.name);
        assert!(agreement >= case.least_agreement, "{}: {agreement}", case.name);
    }
}

#[test]
fn equal_inputs_give_equal_bytes() {
    for (name, technique) in [("factorize", few_factorize(0.5)), ("prune", few_prune(0.6))] {
        let once = apply(graph("fashion-mobilenet.onnx"), std::slice::from_ref(&technique)).unwrap();
        let again = apply(graph("fashion-mobilenet.onnx"), &[technique]).unwrap();
        assert!(once == again, "{name}: equal inputs, unequal bytes");
    }
}
