//! Prune and factorize on the example models and on hand-made graphs.

use std::collections::BTreeSet;

use drydock_contract::{Distill, Factorize, Importance, Prune, Quantize, Recipe, Technique};
use drydock_optimizer::dataset::Dataset;
use drydock_optimizer::onnx::{self, Graph, Shapes, tensor};
use drydock_optimizer::passes::{self, Groups, Slice};
use drydock_optimizer::progress::Progress;
use drydock_optimizer::proto::tensor_proto::DataType;
use drydock_optimizer::proto::{NodeProto, TensorProto, ValueInfoProto};
use drydock_optimizer::technique::Given;
use drydock_optimizer::{Error, technique};

use crate::common::{engine, example, preprocessing};
use crate::making::{data, model, node, value, weight};

fn recipe(techniques: &[Technique]) -> Recipe {
    Recipe { name: "small".into(), techniques: techniques.to_vec() }
}

fn factorize(options: Factorize) -> Technique {
    Technique { factorize: Some(options), ..Technique::default() }
}

pub fn prune(options: Prune) -> Technique {
    Technique { prune: Some(options), ..Technique::default() }
}

/// 128 of the calibration images are enough to see that it works.
const FEW: u32 = 128;

fn few_factorize(macs_ratio: f64) -> Technique {
    factorize(Factorize { images: FEW, ..Factorize::macs(macs_ratio) })
}

fn few_prune(macs_ratio: f64) -> Technique {
    prune(Prune { macs_ratio, images: FEW, ..Prune::default() })
}

pub fn graph(model: &str) -> Graph {
    onnx::read(&example(model)).unwrap().graph
}

pub fn apply(graph: Graph, techniques: &[Technique]) -> Result<Vec<u8>, Error> {
    let (inputs, _) = onnx::signature(&graph)?;
    let data = Dataset::open(&example("fashion-calibration.npz"), &inputs, &preprocessing())?;
    technique::apply(
        &engine(),
        graph,
        &recipe(techniques),
        &Given { calibration: Some(&data), ..Given::default() },
        &mut Progress::silent(),
    )
}

pub fn macs(graph: &Graph) -> u64 {
    onnx::macs(graph, &Shapes::infer_batch(graph, 1).unwrap()).unwrap().total
}

/// Share of the calibration images that get the class that the original gives them.
pub fn agreement(original: &[u8], result: &[u8]) -> f64 {
    let graph = onnx::parse(original.to_vec().into()).unwrap();
    let (inputs, outputs) = onnx::signature(&graph).unwrap();
    let data = Dataset::open(&example("fashion-calibration.npz"), &inputs, &preprocessing()).unwrap();
    let name = outputs[0].name.as_str();
    let found =
        drydock_optimizer::evaluate::evaluate(&engine(), original, Some(result), name, &data, &mut Progress::silent());
    found.unwrap().fidelity.agreement
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
    let alone = Factorize { images: FEW, reconstruct: false, ..Factorize::macs(0.7) };
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

struct Coupled {
    name: &'static str,
    nodes: Vec<NodeProto>,
    weights: Vec<TensorProto>,
    outputs: Vec<ValueInfoProto>,
    /// Units of each family.
    families: Vec<usize>,
}

/// `x` has 4 channels, 8 by 8.
fn coupled() -> Vec<Coupled> {
    let pads: (&str, &[i64]) = ("pads", &[1, 1, 1, 1]);
    let conv = |x: &str, w: &str, y: &str| node("Conv", &[x, w], y, &[pads]);
    let grouped = |x: &str, w: &str, y: &str, groups: i64| node("Conv", &[x, w], y, &[pads, ("group", &[groups])]);
    let last = || vec![value("y", &[-1, 6, 8, 8])];
    let shape = tensor("shape", DataType::Int64, &[2], [-1_i64, 192].iter().flat_map(|d| d.to_le_bytes()).collect());
    vec![
        Coupled {
            name: "a residual",
            nodes: vec![
                conv("x", "a", "u"),
                node("Relu", &["u"], "v", &[]),
                conv("v", "b", "w"),
                node("Add", &["w", "v"], "s", &[]),
                conv("s", "c", "y"),
            ],
            weights: vec![weight("a", &[8, 4, 3, 3]), weight("b", &[8, 8, 3, 3]), weight("c", &[6, 8, 3, 3])],
            outputs: last(),
            families: vec![8],
        },
        Coupled {
            name: "depthwise",
            nodes: vec![conv("x", "a", "u"), grouped("u", "b", "v", 8), conv("v", "c", "y")],
            weights: vec![weight("a", &[8, 4, 3, 3]), weight("b", &[8, 1, 3, 3]), weight("c", &[6, 8, 3, 3])],
            outputs: last(),
            families: vec![8],
        },
        Coupled {
            name: "two in one",
            nodes: vec![
                conv("x", "a", "u"),
                conv("x", "b", "v"),
                node("Concat", &["u", "v"], "s", &[("axis", &[1])]),
                conv("s", "c", "y"),
            ],
            weights: vec![weight("a", &[8, 4, 3, 3]), weight("b", &[5, 4, 3, 3]), weight("c", &[6, 13, 3, 3])],
            outputs: last(),
            families: vec![8, 5],
        },
        Coupled {
            name: "each channel becomes 64 columns",
            nodes: vec![conv("x", "a", "u"), node("Flatten", &["u"], "v", &[]), node("Gemm", &["v", "c"], "y", &[])],
            weights: vec![weight("a", &[3, 4, 3, 3]), weight("c", &[192, 5])],
            outputs: vec![value("y", &[-1, 5])],
            families: vec![3],
        },
        Coupled {
            name: "the same by a shape that must change",
            nodes: vec![
                conv("x", "a", "u"),
                node("Reshape", &["u", "shape"], "v", &[]),
                node("Gemm", &["v", "c"], "y", &[("transB", &[1])]),
            ],
            weights: vec![weight("a", &[3, 4, 3, 3]), weight("c", &[5, 192]), shape],
            outputs: vec![value("y", &[-1, 5])],
            families: vec![3],
        },
        Coupled {
            name: "two groups, which stay equally wide",
            nodes: vec![conv("x", "a", "u"), grouped("u", "b", "v", 2), conv("v", "c", "y")],
            weights: vec![weight("a", &[8, 4, 3, 3]), weight("b", &[8, 4, 3, 3]), weight("c", &[6, 8, 3, 3])],
            outputs: last(),
            families: vec![4, 4],
        },
        Coupled {
            name: "one weight for two layers, one of which reads the image",
            nodes: vec![conv("x", "a", "u"), conv("u", "a", "v"), conv("v", "c", "y")],
            weights: vec![weight("a", &[4, 4, 3, 3]), weight("c", &[6, 4, 3, 3])],
            outputs: last(),
            families: vec![],
        },
        Coupled {
            name: "somebody outside reads it",
            nodes: vec![conv("x", "a", "u"), conv("u", "c", "y")],
            weights: vec![weight("a", &[8, 4, 3, 3]), weight("c", &[6, 8, 3, 3])],
            outputs: vec![value("y", &[-1, 6, 8, 8]), value("u", &[-1, 8, 8, 8])],
            families: vec![],
        },
        Coupled {
            name: "each channel depends on all",
            nodes: vec![conv("x", "a", "u"), node("Softmax", &["u"], "v", &[("axis", &[1])]), conv("v", "c", "y")],
            weights: vec![weight("a", &[8, 4, 3, 3]), weight("c", &[6, 8, 3, 3])],
            outputs: last(),
            families: vec![],
        },
    ]
}

/// Of 32 inputs of noise.
pub fn outputs(graph: &Graph) -> Vec<f32> {
    let (_file, values) = data();
    let mut found = Vec::new();
    let mut session = engine().open(&graph.encode(), 1).unwrap();
    session.run(&[32, 4, 8, 8], &values, ["y"], |_, _, y| found.extend_from_slice(y)).unwrap();
    found
}

/// To take channels out is the same as to make every weight zero that belongs to them.
#[test]
fn what_depends_on_one_another() {
    for Coupled { name, nodes, weights, outputs: outs, families } in coupled() {
        let graph = model(17, nodes.clone(), weights.clone(), outs.clone());
        let groups = Groups::of(&graph, &Shapes::infer_batch(&graph, 1).unwrap()).unwrap();
        let found: Vec<usize> = groups.families.iter().map(|f| f.units.len()).collect();
        assert_eq!(found, families, "{name}");
        for at in 0..families.len() {
            let gone: Vec<BTreeSet<usize>> =
                (0..families.len()).map(|i| if i == at { [1].into() } else { BTreeSet::new() }).collect();
            let zeroed = weights.iter().map(|w| zero(w, &groups.families[at].units[1])).collect();
            let expected = outputs(&model(17, nodes.clone(), zeroed, outs.clone()));
            let smaller = passes::remove(graph.clone(), &groups, &passes::kept(&groups, &gone)).unwrap();
            assert!(smaller.encode().len() < graph.encode().len(), "{name}");
            for (a, b) in expected.iter().zip(outputs(&smaller)) {
                assert!((a - b).abs() < 1e-4, "{name}: {a} became {b}");
            }
        }
    }
}

fn zero(weight: &TensorProto, unit: &[Slice]) -> TensorProto {
    let Ok(mut values) = onnx::floats(weight) else { return weight.clone() };
    for slice in unit.iter().filter(|s| s.tensor == weight.name) {
        let inner: i64 = weight.dims[slice.axis + 1..].iter().product();
        let count = weight.dims[slice.axis];
        for (i, v) in values.iter_mut().enumerate() {
            if i as i64 / inner % count == slice.channel as i64 {
                *v = 0.0;
            }
        }
    }
    onnx::float_tensor(&weight.name, &weight.dims, &values)
}

#[test]
fn what_cannot_be_done_has_a_reason() {
    for (name, technique, says) in [
        ("prune", prune(Prune { macs_ratio: 0.001, ..Prune::default() }), "macsRatio"),
        ("factorize", factorize(Factorize::macs(f64::NAN)), "macsRatio"),
        ("two at once", Technique { quantize: Some(Quantize::default()), ..few_prune(0.5) }, "expected one of"),
    ] {
        let error = apply(graph("fashion-mobilenet.onnx"), &[technique]).unwrap_err().to_string();
        assert!(error.contains(says), "{name}: {error}");
    }
    // The fewest channels that there can be are still more than a hundredth.
    let error = apply(graph("fashion-mobilenet.onnx"), &[few_prune(0.01)]).unwrap_err().to_string();
    assert!(error.contains("fewest channels"), "{error}");
}

/// What pruning lost is learned back from the original, without labels, and twice in the same way.
#[test]
fn distilled() {
    let lossy = prune(Prune { macs_ratio: 0.7, images: FEW, reconstruct: false, ..Prune::default() });
    let taught =
        Technique { distill: Some(Distill { steps: 20, batch: 32, ..Distill::default() }), ..Technique::default() };
    let original = graph("fashion-mobilenet.onnx");
    let pruned = apply(original.clone(), std::slice::from_ref(&lossy)).unwrap();
    let result = apply(original.clone(), &[lossy.clone(), taught.clone()]).unwrap();
    let (before, after) = (agreement(&original.encode(), &pruned), agreement(&original.encode(), &result));
    println!("agreement {before:.2} %, distilled {after:.2} %");
    assert!(after > before + 1.0, "{before} became {after}");
    assert_eq!(pruned.len(), result.len());
    assert!(apply(original, &[lossy, taught]).unwrap() == result, "equal inputs, unequal bytes");
}
