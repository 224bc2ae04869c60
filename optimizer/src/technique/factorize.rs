mod latency;

use std::collections::BTreeMap;

use drydock_contract::{Budget, Factorize, LayerRanks};
use faer::{Mat, MatRef};

use super::multiplications;
use super::reconstruct::{MAX_COLUMNS, Plan, reconstruct};
use super::sample::inputs;
use crate::Error;
use crate::dataset::Dataset;
use crate::engine::Engine;
use crate::onnx::{Graph, Shapes, macs};
use crate::passes::{self, Candidate, Layer, LayerSize, Moments, Split};
use crate::progress::Progress;

/// Covariances of layers that are measured in one pass over the data: 256 MiB.
const MAX_VALUES: usize = 1 << 25;

/// Ranks by the name of the layer's output.
type Ranks = BTreeMap<String, LayerRanks>;

/// A layer that can be split.
#[derive(Clone, Debug)]
struct Splittable {
    layer: Layer,
    size: LayerSize,
    /// Shapes of what it reads and makes, of a batch of one.
    input: Vec<i64>,
    output: Vec<i64>,
}

/// For each layer the ranks that may be chosen, and the share of its output's variance that each keeps.
type Tables = Vec<Vec<(LayerRanks, f64)>>;

/// Low rank, by what is kept of each layer's output on calibration data: see [`passes::kept_variance`], [`passes::choose`] and
/// [`passes::fit`]. Returns too what was done, with the ranks in the place of a budget that was measured.
pub(super) fn factorize(
    engine: &Engine,
    graph: Graph,
    options: &Factorize,
    calibration: &Dataset,
    progress: &mut Progress,
) -> Result<(Graph, Factorize), Error> {
    let images = calibration.at_most(options.images);
    let shapes = Shapes::infer_item(&graph, calibration.item_shape())?;
    let layers = splittable(&graph, &shapes)?;
    let mut done = options.clone();
    let ranks = match options.budget() {
        None => return Err(Error::Recipe(format!("factorize: {}", one_budget(options)))),
        Some(Budget::Ranks(ranks)) => {
            check(&graph, &layers, ranks)?;
            ranks.clone()
        }
        Some(Budget::MacsRatio(ratio)) => {
            done.macs_ratio = Some(ratio);
            let before = multiplications("factorize", &graph, &shapes)?;
            let tables = tables(engine, &graph, &layers, calibration, images, progress)?;
            by_macs(before, &layers, &tables, ratio)?
        }
        Some(Budget::LatencyRatio(ratio)) => {
            let tables = tables(engine, &graph, &layers, calibration, images, progress)?;
            let ranks = latency::by_latency(engine, &graph, &layers, &tables, ratio, calibration, progress)?;
            done = Factorize { latency_ratio: None, ranks: Some(ranks.clone()), ..done };
            ranks
        }
    };
    let before = macs(&graph, &shapes)?.total;
    let result = if options.reconstruct {
        let original = graph.clone();
        let plan = Plan { ranks: ranks.clone(), ..Plan::default() };
        reconstruct(engine, &original, graph, &plan, calibration, images, progress)?
    } else {
        project(engine, &graph, &layers, &ranks, calibration, images)?
    };
    let after = macs(&result, &Shapes::infer_item(&result, calibration.item_shape())?)?.total;
    progress.note(&format!(
        "factorize: {:.2} of {:.2} million multiply-accumulates, {} of {} layers split; {}",
        after as f64 / 1e6,
        before as f64 / 1e6,
        ranks.len(),
        layers.len(),
        as_recipe(&ranks)
    ));
    Ok((result, done))
}

/// What is wrong with the three fields of which one may be set.
pub(super) fn one_budget(options: &Factorize) -> String {
    let set = [options.macs_ratio.is_some(), options.latency_ratio.is_some(), options.ranks.is_some()];
    let set = set.iter().filter(|set| **set).count();
    format!("{set} of `macsRatio`, `latencyRatio` and `ranks` are set; expected one at most, such as `macsRatio: 0.5`")
}

/// As `ranks` of a recipe has them.
fn as_recipe(ranks: &Ranks) -> String {
    let each: Vec<String> = ranks
        .iter()
        .map(|(output, ranks)| {
            let side = |name: &str, rank: Option<u32>| rank.map(|r| format!("{name}: {r}"));
            let sides: Vec<String> =
                [side("input", ranks.input), side("output", ranks.output)].into_iter().flatten().collect();
            format!("{output:?}: {{ {} }}", sides.join(", "))
        })
        .collect();
    format!("ranks: {{ {} }}", each.join(", "))
}

fn splittable(graph: &Graph, shapes: &Shapes) -> Result<Vec<Splittable>, Error> {
    let layers = Layer::all(graph)?.into_iter().filter(|l| l.groups() == 1 && l.columns <= MAX_COLUMNS);
    let known = layers.filter_map(|layer| {
        let (input, output) = (shapes.sizes(&layer.input)?, shapes.sizes(&layer.output)?);
        let size = LayerSize::of(&layer, &input, &output);
        Some(Splittable { layer, size, input, output })
    });
    Ok(known.collect())
}

/// Every layer that is named must be one that can have these ranks.
fn check(graph: &Graph, layers: &[Splittable], ranks: &Ranks) -> Result<(), Error> {
    for (name, ranks) in ranks {
        let problem = match layers.iter().find(|l| l.layer.output == *name) {
            Some(layer) => layer.size.check(*ranks).err().map(|e| e.to_string()),
            None => Some(why_not(graph, layers, name)?),
        };
        if let Some(problem) = problem {
            return Err(Error::Recipe(format!("factorize.ranks: layer {name:?} has {problem}")));
        }
    }
    Ok(())
}

/// Why a value is not that of a layer that can be split.
fn why_not(graph: &Graph, layers: &[Splittable], name: &str) -> Result<String, Error> {
    let index = graph.index();
    let Some(node) = index.producer(name).map(|i| &graph.nodes()[i]) else {
        let known: Vec<&str> = layers.iter().map(|l| l.layer.output.as_str()).collect();
        return Ok(format!("no node that makes it; layers that can be split: [{}]", known.join(", ")));
    };
    if !["Conv", "Gemm", "MatMul"].iter().any(|op| node.is(op)) {
        return Ok(format!("the operator {}; expected Conv, Gemm or MatMul", node.op_type));
    }
    Ok(match Layer::all(graph)?.into_iter().find(|l| l.output == name) {
        Some(layer) if layer.groups() > 1 => format!("{} groups; expected one", layer.groups()),
        Some(layer) if layer.columns > MAX_COLUMNS => {
            format!("{} values in each sum; expected at most {MAX_COLUMNS}", layer.columns)
        }
        Some(_) => "values whose shapes are not known; expected known shapes but for the batch".into(),
        None => "no constant float32 weights of its own, or attributes that are not read; expected a two-dimensional \
                 convolution, or a plain product of matrices, whose weights no other node reads"
            .into(),
    })
}

fn tables(
    engine: &Engine,
    graph: &Graph,
    layers: &[Splittable],
    data: &Dataset,
    images: usize,
    progress: &mut Progress,
) -> Result<Tables, Error> {
    let mut tables: Tables = Vec::with_capacity(layers.len());
    while tables.len() < layers.len() {
        let rest = &layers[tables.len()..];
        let mut values = 0;
        let fit = rest.iter().take_while(|l| {
            values += l.layer.columns * l.layer.columns;
            values <= MAX_VALUES
        });
        let some = &rest[..fit.count().max(1)];
        for (l, moments) in some.iter().zip(measure(engine, graph, some, data, images)?) {
            progress.step("measure", tables.len() + 1, layers.len(), "layers");
            let fail = |e| Error::Recipe(format!("factorize: layer {:?}: {e}", l.layer.output));
            let covariance = moments.covariance().map_err(fail)?;
            let (inputs, outputs) = l.size.steps();
            let weights = weights(graph, &l.layer)?.0;
            let kept =
                passes::kept_variance(&weights, &covariance, l.size.kernel, (&inputs, &outputs)).map_err(fail)?;
            tables.push(kept);
        }
    }
    Ok(tables)
}

/// Mean and covariance of what each of the layers reads.
fn measure(
    engine: &Engine,
    graph: &Graph,
    layers: &[Splittable],
    data: &Dataset,
    images: usize,
) -> Result<Vec<Moments>, Error> {
    let places: Vec<(&Layer, Vec<i64>)> = layers.iter().map(|l| (&l.layer, l.output.clone())).collect();
    inputs(engine, graph, &places, data, images)
}

fn by_macs(before: u64, layers: &[Splittable], tables: &Tables, ratio: f64) -> Result<Ranks, Error> {
    let before = before as f64;
    let candidates: Vec<Candidate> = layers.iter().zip(tables).map(|(l, table)| candidate(l, table)).collect();
    let rest = before - candidates.iter().map(|c| c.whole).sum::<f64>();
    let choice = passes::choose(&candidates, before * ratio - rest);
    let after = rest + choice.cost;
    if after > before * ratio {
        return Err(Error::Recipe(format!(
            "factorize: the lowest ranks leave {:.1} % of the multiply-accumulates; expected macsRatio to be at least that, found {ratio}",
            100.0 * after / before.max(1.0),
        )));
    }
    Ok(named(layers, &choice.ranks))
}

fn named(layers: &[Splittable], ranks: &[Option<LayerRanks>]) -> Ranks {
    layers.iter().zip(ranks).filter_map(|(l, r)| Some((l.layer.output.clone(), (*r)?))).collect()
}

/// By multiply-accumulates.
fn candidate(l: &Splittable, table: &[(LayerRanks, f64)]) -> Candidate {
    let split = |&(ranks, kept): &(LayerRanks, f64)| {
        let loss = -kept.max(f64::MIN_POSITIVE).ln();
        Split { ranks, cost: l.size.macs(ranks) as f64, loss }
    };
    Candidate { whole: l.size.macs(LayerRanks::default()) as f64, splits: table.iter().map(split).collect() }
}

/// (rows, columns), and the bias.
fn weights(graph: &Graph, layer: &Layer) -> Result<(Mat<f64>, Vec<f32>), Error> {
    let (weights, bias) = layer.weights(graph)?;
    let weights = MatRef::from_row_major_slice(&weights, layer.rows, layer.columns);
    Ok((Mat::from_fn(layer.rows, layer.columns, |i, j| f64::from(weights[(i, j)])), bias))
}

/// Each layer alone, on what it reads in the model as it was.
fn project(
    engine: &Engine,
    graph: &Graph,
    layers: &[Splittable],
    ranks: &Ranks,
    data: &Dataset,
    images: usize,
) -> Result<Graph, Error> {
    let mut result = graph.clone();
    for l in layers {
        let Some(&ranks) = ranks.get(&l.layer.output) else { continue };
        let fail = |e| Error::Recipe(format!("factorize: layer {:?}: {e}", l.layer.output));
        let (weights, bias) = weights(graph, &l.layer)?;
        for moments in measure(engine, graph, std::slice::from_ref(l), data, images)? {
            let covariance = moments.covariance().map_err(fail)?;
            let factors = passes::project(&weights, covariance, l.size.kernel, ranks).map_err(fail)?;
            // What the factors lose is lost of the deviation from the mean.
            let lost = &weights - factors.weights();
            let mean = moments.mean();
            let bias: Vec<f32> = (0..l.layer.rows)
                .map(|i| f64::from(bias[i]) + (0..mean.len()).map(|j| lost[(i, j)] * mean[j]).sum::<f64>())
                .map(|b| b as f32)
                .collect();
            let Some(layer) = Layer::all(&result)?.into_iter().find(|r| r.output == l.layer.output) else { continue };
            result = passes::split(result, &layer, &factors, &bias);
        }
    }
    Ok(result)
}
