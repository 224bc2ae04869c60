//! Models whose shapes, or whose answers, are not those of a classifier of images of one size.

use drydock_contract::{Factorize, FailureReason, Format, Preprocessing, Prune, Quantize, Recipe, Technique};
use drydock_optimizer::dataset::Dataset;
use drydock_optimizer::error::Error;
use drydock_optimizer::evaluate::evaluate;
use drydock_optimizer::onnx::{self, Graph, float_tensor};
use drydock_optimizer::progress::Progress;
use drydock_optimizer::technique::{self, Given};

use crate::common::{engine, int8};
use crate::making::{add_array, data, model, model_on, node, value, weight};

fn applied(graph: &Graph, technique: Technique) -> Result<Graph, Error> {
    let (file, _) = data();
    let (inputs, _) = onnx::signature(graph).unwrap();
    let one = Preprocessing { scale: 1.0, ..Preprocessing::default() };
    let calibration = Dataset::open(file.path(), &inputs, &one).unwrap();
    let given = Given { calibration: Some(&calibration), ..Given::default() };
    let recipe = Recipe { name: "r".into(), techniques: vec![technique] };
    let made = technique::apply(&engine(), graph.clone(), &recipe, &given, &mut Progress::silent())?;
    Ok(onnx::parse(made.into()).unwrap())
}

fn pruned() -> Technique {
    Technique { prune: Some(Prune { macs_ratio: 0.5, ..Prune::default() }), ..Technique::default() }
}

fn factorized() -> Technique {
    Technique { factorize: Some(Factorize { macs_ratio: Some(0.5), ..Factorize::default() }), ..Technique::default() }
}

fn elements(graph: &Graph) -> i64 {
    graph.initializers().iter().map(|t| t.dims.iter().product::<i64>()).sum()
}

/// Height and width are open in the file, and those of the data: half of the work is half of the convolutions' too.
#[test]
fn open_sizes_are_those_of_the_data() {
    let pads: (&str, &[i64]) = ("pads", &[1, 1, 1, 1]);
    let nodes = vec![
        node("Conv", &["x", "a"], "c", &[pads]),
        node("Relu", &["c"], "r", &[]),
        node("Conv", &["r", "b"], "y", &[pads]),
    ];
    let constants = vec![weight("a", &[16, 4, 3, 3]), weight("b", &[4, 16, 3, 3])];
    let open = [-1, 4, -2, -3];
    let graph = model_on(&open, 17, nodes, constants, vec![value("y", &open)]);
    for technique in [pruned(), factorized()] {
        let made = applied(&graph, technique).unwrap();
        let (before, after) = (elements(&graph), elements(&made));
        assert!(after as f64 <= 0.55 * before as f64, "{after} of {before} weights");
    }
}

/// Half of nothing is nothing: no package that says it were made smaller.
#[test]
fn where_no_multiplication_is_counted_there_is_nothing_to_save() {
    let nodes = vec![node("Relu", &["x"], "y", &[])];
    let graph = model(17, nodes, vec![], vec![value("y", &[-1, 4, 8, 8])]);
    for technique in [pruned(), factorized()] {
        let error = applied(&graph, technique).unwrap_err();
        assert!(matches!(error, Error::Recipe(_)), "{error}");
        assert!(error.to_string().contains("found a model that multiplies nothing"), "{error}");
    }
    // Of what only a stranger's operator knows the size nothing is counted either, and the first node is named.
    let mut stranger = node("Mystery", &["x"], "m", &[]);
    stranger.domain = "com.example".into();
    let nodes = vec![stranger, node("Conv", &["m", "a"], "y", &[])];
    let unknown = model(17, nodes, vec![weight("a", &[4, 4, 1, 1])], vec![value("y", &[-1, -2, -3, -4])]);
    for technique in [pruned(), factorized()] {
        let error = applied(&unknown, technique).unwrap_err().to_string();
        assert!(error.contains("nodes of which it is not known, the first \"m\" (Mystery)"), "{error}");
    }
    // Weights that are in 16 bits already, say.
    let half = Quantize { format: Format::Float16, ..Quantize::default() };
    let error = applied(&graph, int8(half).techniques.remove(0)).unwrap_err();
    assert!(error.to_string().contains("nothing to quantize"), "{error}");
}

#[test]
fn weights_that_are_no_numbers_are_refused_by_every_recipe() {
    let bad = float_tensor("a", &[4, 4, 1, 1], &[f32::NAN; 16]);
    let graph = model(17, vec![node("Conv", &["x", "a"], "y", &[])], vec![bad], vec![value("y", &[-1, 4, 8, 8])]);
    for technique in [pruned(), factorized(), int8(Quantize::default()).techniques.remove(0)] {
        let error = applied(&graph, technique).unwrap_err().to_string();
        assert!(error.contains("Conv") && error.contains("NaN"), "{error}");
    }
}

/// It is done with what there is, and the record says so.
#[test]
fn fewer_images_than_asked_for_are_noted() {
    let (file, _) = data();
    let nodes = vec![node("Conv", &["x", "a"], "y", &[])];
    let graph = model(17, nodes, vec![weight("a", &[4, 4, 1, 1])], vec![value("y", &[-1, 4, 8, 8])]);
    let (inputs, _) = onnx::signature(&graph).unwrap();
    let one = Preprocessing { scale: 1.0, ..Preprocessing::default() };
    let calibration = Dataset::open(file.path(), &inputs, &one).unwrap();
    let given = Given { calibration: Some(&calibration), ..Given::default() };
    for (images, noted) in [(32, false), (33, true)] {
        let mut progress = Progress::silent();
        let recipe = int8(Quantize { images, ..Quantize::default() });
        technique::apply(&engine(), graph.clone(), &recipe, &given, &mut progress).unwrap();
        let said = "33 images were asked for; there are 32, and all of them are used";
        assert_eq!(progress.take_notes().iter().any(|note| note == said), noted);
    }
}

/// 32 images that are all of one class say nothing of the others.
#[test]
fn labels_of_one_class_are_refused() {
    let (images, _) = data();
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("data.npz");
    std::fs::copy(images.path(), &path).unwrap();
    let mut zip =
        zip::ZipWriter::new_append(std::fs::File::options().read(true).write(true).open(&path).unwrap()).unwrap();
    add_array(&mut zip, "y.npy", "<i8", "32,", &[2_i64; 32].map(i64::to_le_bytes).concat());
    zip.finish().unwrap();

    let nodes = vec![node("GlobalAveragePool", &["x"], "p", &[]), node("Flatten", &["p"], "y", &[])];
    let graph = model(17, nodes, vec![], vec![value("y", &[-1, 4])]);
    let (inputs, _) = onnx::signature(&graph).unwrap();
    let one = Preprocessing { scale: 1.0, ..Preprocessing::default() };
    let dataset = Dataset::open(&path, &inputs, &one).unwrap();
    let encoded = graph.encode();
    let error = evaluate(&engine(), &encoded, None, "y", &dataset, &mut Progress::silent()).unwrap_err();
    assert_eq!(error.reason(), FailureReason::InvalidDataset);
    assert!(error.to_string().contains("all 32 labels are 2"), "{error}");
}

/// A segmentation: a class for each place. Without labels it is compared as any other.
#[test]
fn a_class_for_each_place() {
    let nodes =
        vec![node("Conv", &["x", "a"], "c", &[]), node("Relu", &["c"], "r", &[]), node("Conv", &["r", "b"], "y", &[])];
    let constants = vec![weight("a", &[8, 4, 1, 1]), weight("b", &[6, 8, 1, 1])];
    let graph = model(17, nodes, constants, vec![value("y", &[-1, 6, 8, 8])]);
    let quantized = applied(&graph, int8(Quantize::default()).techniques.remove(0)).unwrap();
    let (file, _) = data();
    let (inputs, _) = onnx::signature(&graph).unwrap();
    let one = Preprocessing { scale: 1.0, ..Preprocessing::default() };
    let data = Dataset::open(file.path(), &inputs, &one).unwrap();
    let against = |candidate: &Graph| {
        let (original, candidate) = (graph.encode(), candidate.encode());
        evaluate(&engine(), &original, Some(&candidate), "y", &data, &mut Progress::silent()).unwrap()
    };
    let same = against(&graph);
    assert_eq!((same.fidelity.agreement, same.fidelity.sqnr_decibels, same.fidelity.images), (100.0, None, 32));
    let int8 = against(&quantized);
    assert!((80.0..100.0).contains(&int8.fidelity.agreement), "{:?}", int8.fidelity);
    assert!((20.0..60.0).contains(&int8.fidelity.sqnr_decibels.unwrap()), "{:?}", int8.fidelity);
    assert_eq!((int8.accuracy, int8.baseline), (None, None));
}
