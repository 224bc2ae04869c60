//! The same images in each format: the same batches, labels and hashes.

use std::path::{Path, PathBuf};
use std::process::Command;

use drydock_contract::{Datatype, Digest, Preprocessing, TensorSignature};
use drydock_optimizer::dataset::{Dataset, DatasetError};

use crate::common::{example, library};

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/datasets").join(name)
}

pub fn input(shape: &[i64]) -> [TensorSignature; 1] {
    [TensorSignature { name: "input".into(), datatype: Datatype::Fp32, shape: shape.to_vec() }]
}

pub fn plain() -> Preprocessing {
    Preprocessing { scale: 0.5, mean: vec![1.0, 2.0, 3.0], ..Preprocessing::default() }
}

fn open(path: &Path) -> Dataset {
    Dataset::open(path, &input(&[-1, 3, 5, 6]), &plain()).unwrap()
}

fn read(data: &Dataset) -> Vec<f32> {
    let mut all = Vec::new();
    data.batches(usize::MAX, 4, |batch| {
        all.extend_from_slice(batch.data);
        Ok::<(), DatasetError>(())
    })
    .unwrap();
    all
}

/// A CSV beside the images of the folder.
fn listed(directory: &Path, header: &str) -> PathBuf {
    let mut lines = vec![header.to_owned()];
    for i in 0..9 {
        let class = ["cat", "dog", "eel"][i % 3];
        let name = format!("pictures/{i:02}.png");
        std::fs::create_dir_all(directory.join("pictures")).unwrap();
        std::fs::copy(fixture(&format!("folder/{class}/{i:02}.png")), directory.join(&name)).unwrap();
        lines.push(format!("{name}, {class}\n"));
    }
    std::fs::write(directory.join("labels.csv"), lines.concat()).unwrap();
    directory.join("labels.csv")
}

#[test]
fn the_same_in_each_format() {
    let (csv, bare) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let csv = listed(csv.path(), "path,label\n").parent().unwrap().to_owned();
    let bare = listed(bare.path(), "");
    let arrays = open(&fixture("arrays.npz"));
    let expected = read(&arrays);
    assert_eq!(expected.len(), 9 * 3 * 5 * 6);
    for path in [
        fixture("x.npy"),
        fixture("folder"),
        fixture("folder.tar"),
        fixture("webdataset.tar"),
        fixture("images.parquet"),
        fixture("shards"),
        fixture("lists.parquet"),
        fixture("nested.parquet"),
        csv,
        bare,
    ] {
        let data = open(&path);
        assert_eq!((data.len(), data.item_shape()), (9, &[3, 5, 6][..]), "{}", path.display());
        assert!(read(&data) == expected, "{}", path.display());
        data.require_labels().unwrap();
        assert_eq!(data.labels(3).unwrap(), [0, 1, 2, 0, 1, 2, 0, 1, 2], "{}", path.display());
        let overlap = data.overlap(&arrays).unwrap().unwrap();
        assert_eq!((overlap.images, overlap.first), (9, 0), "{}", path.display());
    }
    let named = open(&fixture("folder")).with_classes(&["dog", "bee", "eel", "cat"].map(str::to_owned));
    assert_eq!(named.labels(4).unwrap(), [3, 0, 2, 3, 0, 2, 3, 0, 2]);
    assert_eq!((named.name(4), named.class_names().unwrap().len()), ("dog/04.png".into(), 3));
}

#[test]
fn channels_may_be_last() {
    let first = read(&open(&fixture("folder")));
    let data = Dataset::open(&fixture("folder"), &input(&[-1, 5, 6, 3]), &plain()).unwrap();
    let last = read(&data);
    let transposed = (0..9 * 5 * 6).flat_map(|at| (0..3).map(move |c| (at / 30 * 3 + c) * 30 + at % 30));
    assert!(transposed.zip(&last).all(|(at, v)| first[at].to_bits() == v.to_bits()));
}

/// As a person would hash a directory: docs/datasets.md has the line.
#[test]
fn the_digest_of_a_directory() {
    use drydock_contract::{FailureReason, Input, Location};
    use drydock_optimizer::fetch::{Purpose, fetch};

    let directory = tempfile::tempdir().unwrap();
    let csv = listed(directory.path(), "");
    let scratch = tempfile::tempdir().unwrap();
    let fetched = |path: &Path, sha256: Option<Digest>| {
        let location = Location::Path(path.display().to_string());
        fetch(&Input { location, sha256 }, Purpose::Calibration, scratch.path())
    };
    let script = "cd \"$0\" && find . -type f ! -path '*/.*' -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum";
    let output = Command::new("bash").args(["-c", script]).arg(directory.path()).output().unwrap();
    let expected: Digest = String::from_utf8(output.stdout).unwrap()[..64].parse().unwrap();
    assert_eq!(fetched(directory.path(), Some(expected.clone())).unwrap().digest, expected);
    assert_eq!(fetched(&csv, None).unwrap().digest, expected, "a CSV and its images");

    let error = fetched(&csv, Some(expected)).unwrap_err();
    assert_eq!(error.reason(), FailureReason::InvalidDataset);
    assert!(error.to_string().contains("needs 9 more files"), "{error}");
    std::fs::write(directory.path().join("pictures/03.png"), b"other").unwrap();
    assert_ne!(fetched(&csv, None).unwrap().digest, fetched(&fixture("folder"), None).unwrap().digest);
}

/// Images of an `.npz` in class folders, from `start` on.
fn unpack(npz: &Path, start: usize, count: usize, to: &Path) {
    let data = Dataset::open(npz, &input(&[-1, 1, 28, 28]), &Preprocessing { scale: 1.0, ..Preprocessing::default() });
    let data = data.unwrap();
    let labels = data.labels(10).unwrap();
    data.batches(start + count, 64, |batch| {
        for (i, values) in batch.data.chunks(28 * 28).take(batch.count).enumerate() {
            let at = batch.start + i;
            if at >= start {
                let directory = to.join(labels[at].to_string());
                std::fs::create_dir_all(&directory).unwrap();
                let image = image::GrayImage::from_raw(28, 28, values.iter().map(|v| *v as u8).collect()).unwrap();
                image.save(directory.join(format!("{at:05}.png"))).unwrap();
            }
        }
        Ok::<(), DatasetError>(())
    })
    .unwrap();
}

#[test]
fn a_run_on_folders_of_images() {
    let directory = tempfile::tempdir().unwrap();
    let (calibration, evaluation) = (directory.path().join("calibration"), directory.path().join("evaluation"));
    unpack(&example("fashion-calibration.npz"), 0, 64, &calibration);
    unpack(&example("fashion-evaluation.npz"), 0, 300, &evaluation);
    let recipe = directory.path().join("recipe.yaml");
    std::fs::write(&recipe, "{ name: int8, techniques: [ { quantize: { images: 32 } } ] }").unwrap();
    let run = |evaluation: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drydock-optimizer"));
        command.env("ORT_DYLIB_PATH", library()).arg("optimize").arg("--recipe").arg(&recipe);
        command.args(["--scale", "0.00392156862745098", "--mean", "0.2860", "--std", "0.3530"]);
        command.arg("--model").arg(example("fashion-mobilenet.onnx")).arg("--calibration").arg(&calibration);
        command.arg("--evaluation").arg(evaluation).arg("--store").arg(directory.path().join("store"));
        command.output().unwrap()
    };
    let output = run(&evaluation);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|l| l.starts_with("top-1")).unwrap();
    assert!(line.contains("of 300"), "{line}");
    let original: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(original > 85.0, "{line}");

    // Some images of the calibration set again, in another format.
    let shared = directory.path().join("shared.tar");
    let mut tar = tar::Builder::new(std::fs::File::create(&shared).unwrap());
    tar.append_dir_all("set", &calibration).unwrap();
    tar.finish().unwrap();
    let output = run(&shared);
    assert_eq!(output.status.code(), Some(65), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("64 of 64 images") && text.contains("the first at set/0/"), "{text}");
}
