//! Every node test of the onnx package, through every pass: what comes out loads, and gives what the original gives.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use drydock_contract::{LayerRanks, Target};
use drydock_optimizer::onnx::{self, Graph, ModelError, Shapes, raw_bytes};
use drydock_optimizer::passes::{self, Half, Layer, Scheme, Tuning};
use drydock_optimizer::proto::tensor_proto::DataType;
use drydock_optimizer::proto::{ModelProto, TensorProto};
use faer::Mat;
use prost::Message as _;

use crate::common::engine;

fn models() -> Vec<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../e2e/onnx-node-tests.sh");
    let output = Command::new(script).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    let root = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    let entries = |path: &Path| std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();
    let versions = entries(&root).into_iter().filter(|p| p.is_dir());
    let mut tests: Vec<PathBuf> =
        versions.flat_map(|v| entries(&v)).filter(|t| t.join("model.onnx").exists()).collect();
    tests.sort();
    tests
}

/// The first data set's inputs, where all are tensors that can be handed over.
fn inputs(test: &Path, model: &ModelProto) -> Option<Vec<TensorProto>> {
    let graph = model.graph.as_ref()?;
    let read = |(i, input): (usize, &drydock_optimizer::proto::ValueInfoProto)| {
        let bytes = std::fs::read(test.join(format!("test_data_set_0/input_{i}.pb"))).ok()?;
        let tensor = TensorProto::decode(bytes.as_slice()).ok()?;
        raw_bytes(&tensor).ok()?;
        Some(TensorProto { name: input.name.clone(), ..tensor })
    };
    graph.input.iter().enumerate().map(read).collect()
}

/// The model with its inputs from `from` on as initializers: what exporters do with weights, axes and shapes.
fn with_constants(model: &ModelProto, inputs: &[TensorProto], from: usize) -> Option<Vec<u8>> {
    let mut model = model.clone();
    let graph = model.graph.as_mut().filter(|g| g.input.len() > from)?;
    graph.input.truncate(from);
    graph.initializer.extend_from_slice(&inputs[from..]);
    Some(model.encode_to_vec())
}

fn run(model: &[u8], inputs: &[TensorProto]) -> Result<Vec<Option<TensorProto>>, String> {
    let mut session = engine().open(model, 1).map_err(|e| format!("load: {e}"))?;
    session.run_tensors(inputs).map_err(|e| format!("run: {e}"))
}

fn floats(tensor: &TensorProto) -> Option<Vec<f64>> {
    let raw = raw_bytes(tensor).unwrap();
    if tensor.data_type == DataType::Float as i32 {
        return Some(raw.as_chunks::<4>().0.iter().map(|w| f32::from_le_bytes(*w).into()).collect());
    }
    let double = tensor.data_type == DataType::Double as i32;
    double.then(|| raw.as_chunks::<8>().0.iter().map(|w| f64::from_le_bytes(*w)).collect())
}

fn equal(a: &TensorProto, b: &TensorProto) -> bool {
    let near = |(x, y): (&f64, &f64)| {
        (x - y).abs() <= 1e-5 + 1e-4 * x.abs() || (x.is_nan() && y.is_nan()) || x.to_bits() == y.to_bits()
    };
    (a.data_type, &a.dims) == (b.data_type, &b.dims)
        && match (floats(a), floats(b)) {
            (Some(x), Some(y)) => x.iter().zip(&y).all(near),
            _ => a.raw_data == b.raw_data,
        }
}

type Pass = (&'static str, fn(Graph) -> Result<Graph, ModelError>);

/// What comes out gives what the original gives.
const PASSES: [Pass; 9] = [
    ("write", Ok),
    ("upgrade", |g| passes::upgrade(g).map(|r| r.0)),
    ("lift_constants", |g| Ok(passes::lift_constants(passes::upgrade(g)?.0).0)),
    ("fold_constants", |g| passes::fold_constants(passes::upgrade(g)?.0, &engine()).map(|r| r.0)),
    ("remove_noops", |g| passes::remove_noops(passes::upgrade(g)?.0).map(|r| r.0)),
    ("fold_batch_norm", |g| passes::fold_batch_norm(passes::upgrade(g)?.0).map(|r| r.0)),
    ("remove_dead", |g| Ok(passes::remove_dead(g).0)),
    ("clean", |g| passes::clean(g, &engine()).map(|r| r.0)),
    ("factorize", |g| factorize(passes::upgrade(g)?.0)),
];

/// What comes out loads and runs, and gives something near.
const LOSSY: [Pass; 5] = [
    ("quantize", quantize),
    ("dynamic", |g| passes::dynamic(passes::clean(g, &engine())?.0, scheme()).map(|r| r.0)),
    ("weight_only", |g| passes::weight_only(passes::clean(g, &engine())?.0, 4, 32).map(|r| r.0)),
    ("float16", |g| passes::halve(passes::clean(g, &engine())?.0, Half::Float16).map(|r| r.0)),
    ("bfloat16", |g| passes::halve(passes::clean(g, &engine())?.0, Half::BFloat16).map(|r| r.0)),
];

fn scheme() -> Scheme {
    Scheme::new(true, Target::CpuVnni)
}

/// Everything that can be, with a range that no data has chosen.
fn quantize(graph: Graph) -> Result<Graph, ModelError> {
    let graph = passes::clean(graph, &engine())?.0;
    let selection = passes::select(&graph, &BTreeSet::new())?;
    let ranges = selection.calibrated().into_iter().map(|value| (value.to_owned(), (-4.0, 4.0))).collect();
    let tuning = Tuning { ranges, biases: true, ..Tuning::default() };
    passes::quantize(graph, &selection, &tuning, scheme()).map(|r| r.0)
}

/// Every layer split into all factors that it can have, at full rank.
fn factorize(mut graph: Graph) -> Result<Graph, ModelError> {
    let layers = Layer::all(&graph)?.into_iter().filter(|l| l.groups() == 1);
    for output in layers.map(|l| l.output).collect::<Vec<_>>() {
        let layer = Layer::all(&graph)?.into_iter().find(|l| l.output == output).unwrap();
        let (rows, columns, kernel) = (layer.rows, layer.columns, layer.kernel());
        let (weights, bias) = layer.weights(&graph)?;
        let weights = Mat::from_fn(rows, columns, |i, j| f64::from(weights[i * columns + j]));
        let input = (kernel > 1).then_some((columns / kernel) as u32);
        let ranks = LayerRanks { input, output: Some(rows.min(columns) as u32) };
        let factors = passes::project(&weights, Mat::identity(columns, columns), kernel, ranks).unwrap();
        graph = passes::split(graph, &layer, &factors, &bias);
    }
    Ok(graph)
}

#[derive(Debug, Default)]
struct Tally {
    models: usize,
    accepted: usize,
    /// By our reader, with the reason.
    refused: BTreeMap<String, usize>,
    /// Accepted, but not by ONNX Runtime, so that there is nothing to compare with.
    not_loadable: usize,
    /// Loads, but has inputs that are no tensors of numbers, or random ones.
    not_comparable: usize,
    /// Results of a pass that no pass before it gave, and that load and give what the original gives.
    changed: BTreeMap<&'static str, usize>,
    /// Outputs whose inferred shape is what the run gave, and those that were not known.
    shapes: usize,
    unknown_shapes: usize,
    failures: Vec<String>,
}

fn random(model: &ModelProto) -> bool {
    let random = ["Random", "Bernoulli", "Multinomial", "Dropout"];
    let graph = model.graph.as_ref().unwrap();
    // Dropout too is random where it is told to train.
    graph.node.iter().any(|n| random.iter().any(|r| n.op_type.starts_with(r)) && n.input.len() != 1)
}

impl Tally {
    fn check(&mut self, name: &str, bytes: &[u8], inputs: Option<&[TensorProto]>) {
        // Its own outputs' types are no help to inference.
        let mut bare = ModelProto::decode(bytes).unwrap();
        let inputs = inputs.filter(|_| !random(&bare));
        bare.graph.iter_mut().flat_map(|g| &mut g.output).for_each(|o| o.r#type = None);

        let graph = match onnx::parse(bytes.to_vec().into()) {
            Ok(graph) => graph,
            Err(e) => {
                let reason = e.to_string().split(';').next().unwrap_or_default().to_owned();
                *self.refused.entry(reason).or_default() += 1;
                return;
            }
        };
        self.accepted += 1;
        let Ok(mut session) = engine().open(bytes, 1) else {
            self.not_loadable += 1;
            return;
        };
        let expected = inputs.and_then(|i| session.run_tensors(i).ok());
        match &expected {
            Some(expected) => self.check_shapes(name, &Graph::new(bare).unwrap(), expected),
            None => self.not_comparable += 1,
        }
        // Many passes leave many models as they are: each result is run once.
        let mut seen: HashSet<Vec<u8>> = HashSet::new();
        let passes = PASSES.iter().map(|pass| (pass, true)).chain(LOSSY.iter().map(|pass| (pass, false)));
        for (&(pass, apply), is_exact) in passes {
            let result = match apply(graph.clone()) {
                Ok(graph) => graph.encode(),
                Err(e) => {
                    self.failures.push(format!("{name}: {pass}: {e}"));
                    continue;
                }
            };
            if !seen.insert(result.clone()) {
                continue;
            }
            let problem = match (&expected, inputs) {
                (Some(expected), Some(inputs)) => match run(&result, inputs) {
                    Err(e) => Some(e),
                    Ok(found) => expected.iter().zip(&found).find_map(|pair| match pair {
                        (Some(a), Some(b)) if is_exact && !equal(a, b) => Some(format!("output {:?} differs", a.name)),
                        _ => None,
                    }),
                },
                _ => engine().open(&result, 1).err().map(|e| e.to_string()),
            };
            match problem {
                Some(problem) => self.failures.push(format!("{name}: {pass}: {problem}")),
                None => *self.changed.entry(pass).or_default() += 1,
            }
        }
    }

    fn check_shapes(&mut self, name: &str, graph: &Graph, outputs: &[Option<TensorProto>]) {
        let shapes = match Shapes::infer(graph) {
            Ok(shapes) => shapes,
            Err(e) => return self.failures.push(format!("{name}: shapes: {e}")),
        };
        for output in outputs.iter().flatten() {
            let found = shapes.get(&output.name).cloned().unwrap_or_default();
            let element = found.element.is_none_or(|e| e as i32 == output.data_type);
            match found.sizes() {
                Some(dims) if dims == output.dims && element => self.shapes += 1,
                None if element => self.unknown_shapes += 1,
                _ => self.failures.push(format!("{name}: shape {found:?}; the run gave {:?}", output.dims)),
            }
        }
    }
}

#[test]
fn every_node_test_through_every_pass() {
    let mut tally = Tally::default();
    for test in models() {
        let name = test.iter().rev().take(2).map(|p| p.to_string_lossy()).collect::<Vec<_>>().join(" of ");
        let bytes = std::fs::read(test.join("model.onnx")).unwrap();
        let model = ModelProto::decode(bytes.as_slice()).unwrap();
        let inputs = inputs(&test, &model);
        tally.models += 1;
        tally.check(&name, &bytes, inputs.as_deref());
        let Some(inputs) = inputs else { continue };
        for (label, from) in [("constants", 1), ("all constant", 0)] {
            if let Some(bytes) = with_constants(&model, &inputs, from) {
                tally.check(&format!("{name}, {label}"), &bytes, Some(&inputs[..from]));
            }
        }
    }
    let failures = std::mem::take(&mut tally.failures);
    println!("{tally:#?}");
    // What this version gives: fewer means that a pass, or the reader, does less than it did.
    assert_eq!((tally.models, tally.accepted), (2198, 4530));
    assert!(tally.refused.keys().all(|reason| reason.starts_with("opset ")), "{:?}", tally.refused);
    assert!(tally.not_loadable <= 174 && tally.not_comparable <= 189, "what there is to compare with");
    assert!(tally.shapes >= 3343, "{} outputs of known shape", tally.shapes);
    for (pass, least) in [
        ("write", 4356),
        ("upgrade", 1100),
        ("fold_constants", 700),
        ("clean", 470),
        ("factorize", 14),
        ("quantize", 19),
        ("dynamic", 15),
        ("weight_only", 15),
        ("float16", 466),
        ("bfloat16", 466),
    ] {
        assert!(tally.changed.get(pass) >= Some(&least), "{pass}: {:?}", tally.changed);
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
