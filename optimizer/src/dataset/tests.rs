use std::io::Write as _;

use npyz::{AutoSerialize, Serialize, WriterBuilder};
use zip::write::SimpleFileOptions;

use super::*;

fn array<T: AutoSerialize + Serialize>(shape: &[u64], values: &[T]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(shape).writer(&mut bytes).begin_nd().unwrap();
    writer.extend(values).unwrap();
    writer.finish().unwrap();
    bytes
}

fn npz(arrays: &[(&str, Vec<u8>)]) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".npz").tempfile().unwrap();
    let mut zip = zip::ZipWriter::new(file.as_file_mut());
    for (name, bytes) in arrays {
        zip.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
    file
}

fn input(shape: &[i64]) -> [TensorSignature; 1] {
    [TensorSignature { name: "input".into(), datatype: Datatype::Fp32, shape: shape.to_vec() }]
}

fn open(file: &tempfile::NamedTempFile, shape: &[i64]) -> Result<Dataset, DatasetError> {
    Dataset::open(file.path(), &input(shape), &Preprocessing { scale: 1.0, ..Preprocessing::default() })
}

/// Shape, data and count.
type Read = (Vec<i64>, Vec<f32>, usize);

fn read(data: &Dataset, limit: usize, batch: usize) -> Result<Vec<Read>, DatasetError> {
    let mut batches = Vec::new();
    data.batches(limit, batch, |b| {
        batches.push((b.shape.to_vec(), b.data.to_vec(), b.count));
        Ok::<(), DatasetError>(())
    })?;
    Ok(batches)
}

#[test]
fn grey_images_get_a_channel_and_the_last_batch_is_short() {
    let file = npz(&[("x", array(&[3, 1, 2], &[1_u8, 2, 3, 4, 5, 6])), ("y", array(&[3], &[0_i64, 1, 9]))]);
    let data = open(&file, &[-1, 1, 1, 2]).unwrap();
    assert_eq!((data.len(), data.item_shape()), (3, &[1, 1, 2][..]));
    let batches = read(&data, 9, 2).unwrap();
    assert_eq!(batches[0], (vec![2, 1, 1, 2], vec![1.0, 2.0, 3.0, 4.0], 2));
    assert_eq!(batches[1], (vec![1, 1, 1, 2], vec![5.0, 6.0], 1));
    assert_eq!(read(&data, 1, 2).unwrap().len(), 1, "no more than asked for");
    assert_eq!(data.labels(10).unwrap(), [0, 1, 9]);
}

#[test]
fn a_model_of_one_batch_size_gets_the_last_image_again() {
    let file = npz(&[("x", array(&[3, 1], &[1.0_f32, 2.0, 3.0]))]);
    let batches = read(&open(&file, &[2, 1]).unwrap(), 9, 64).unwrap();
    assert_eq!(batches[1], (vec![2, 1], vec![3.0, 3.0], 1));
}

#[test]
fn what_does_not_fit_says_so() {
    let x = || array(&[2, 2], &[1_u8, 2, 3, 4]);
    let y = |labels: &[i32]| array(&[labels.len() as u64], labels);
    let floats = |v: &[f32]| array(&[v.len() as u64, 1], v);
    let ok = [-1, 2];
    for (case, arrays, shape, part) in [
        ("no x", vec![("y", y(&[1]))], &ok[..], "no array `x`"),
        ("no y", vec![("x", x())], &ok, "has no labels"),
        ("wrong shape", vec![("x", x())], &[-1, 3, 8], "`x` of shape (2, 2); expected (N, 3, 8)"),
        ("empty", vec![("x", array::<u8>(&[0, 2], &[]))], &ok, "not empty"),
        ("scalar", vec![("x", array(&[], &[1_u8]))], &ok, "`x` of shape ()"),
        ("doubles", vec![("x", array(&[1, 2], &[1.0_f64, 2.0]))], &ok, "`x` is <f8"),
        ("NaN", vec![("x", floats(&[0.0, 1.0, f32::NAN]))], &[-1, 1], "row 2 of `x` holds NaN"),
        ("infinity", vec![("x", floats(&[f32::INFINITY]))], &[-1, 1], "row 0"),
        ("fewer labels", vec![("x", x()), ("y", y(&[1]))], &ok, "`y` of shape (1); expected (2)"),
        ("float labels", vec![("x", x()), ("y", array(&[2], &[0.0_f32, 1.0]))], &ok, "`y` is F32"),
        ("class too large", vec![("x", x()), ("y", y(&[0, 10]))], &ok, "label 10 of row 1"),
        ("class below 0", vec![("x", x()), ("y", y(&[-1, 0]))], &ok, "label -1 of row 0"),
        ("not npy", vec![("x", b"no array".to_vec())], &ok, "array `x`"),
        ("truncated", vec![("x", x()[..x().len() - 1].to_vec())], &ok, "1 of 2 bytes: it is truncated"),
    ] {
        let file = npz(&arrays);
        let result = open(&file, shape).and_then(|data| {
            read(&data, usize::MAX, 8)?;
            data.labels(10)
        });
        let error = result.expect_err(case).to_string();
        assert!(error.contains(part), "{case}: {error}");
        assert!(error.contains(&file.path().display().to_string()), "{case} names the file: {error}");
    }
}

#[test]
fn a_file_that_is_no_archive() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = open(&file, &[-1, 2]).unwrap_err().to_string();
    assert!(error.contains("expected a directory or tar of images"), "{error}");
}

#[test]
fn a_file_that_is_written_to_is_another_one() {
    let ones = npz(&[("x", array(&[2, 1], &[1_u8, 1]))]);
    let twos = npz(&[("x", array(&[2, 1], &[2_u8, 2]))]);
    ones.as_file().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let data = open(&ones, &[-1, 1]).unwrap();
    std::fs::copy(twos.path(), ones.path()).unwrap();
    let error = read(&data, 9, 9).unwrap_err();
    assert!(matches!(error, DatasetError::Changed { .. }), "{error}");

    // Put in its place, it leaves alone what is open.
    let data = open(&twos, &[-1, 1]).unwrap();
    let other = npz(&[("x", array(&[2, 1], &[3_u8, 3]))]);
    std::fs::rename(other.path(), twos.path()).unwrap();
    assert_eq!(read(&data, 9, 9).unwrap()[0].1, [2.0, 2.0]);
}

#[test]
fn images_that_two_sets_share() {
    let bytes = npz(&[("x", array(&[4, 2], &[1_u8, 2, 3, 4, 5, 6, 3, 4]))]);
    let open = |file: &tempfile::NamedTempFile| open(file, &[-1, 2]).unwrap();
    // The same images, in another order and as floats.
    for (floats, expected) in [
        (vec![2.0_f32, 1.0, 4.0, 3.0], None),
        (vec![5.0, 6.0], Some(Overlap { images: 1, first: 2 })),
        (vec![9.0, 9.0, 3.0, 4.0], Some(Overlap { images: 2, first: 1 })),
    ] {
        let other = npz(&[("x", array(&[floats.len() as u64 / 2, 2], &floats))]);
        assert_eq!(open(&bytes).overlap(&open(&other)).unwrap(), expected, "{floats:?}");
    }
}
