//! Data sets that cannot be used: each says which file it is, what was found and what was expected.

use std::path::Path;

use drydock_contract::{Crop, Preprocessing, Resize};
use drydock_optimizer::dataset::{Dataset, DatasetError};

use crate::datasets::{fixture, input, plain};

/// Opens it, reads all of it, and its labels.
fn read(path: &Path, preprocessing: &Preprocessing) -> Result<Vec<u32>, DatasetError> {
    let data = Dataset::open(path, &input(&[-1, 3, 5, 6]), preprocessing)?;
    data.batches(usize::MAX, 4, |_| Ok::<(), DatasetError>(()))?;
    data.labels(3)
}

/// A directory with these files; `@name` is the content of a fixture.
fn directory(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let content = match content.strip_prefix(b"@") {
            Some(name) => std::fs::read(fixture(std::str::from_utf8(name).unwrap())).unwrap(),
            None => content.to_vec(),
        };
        std::fs::write(path, content).unwrap();
    }
    root
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(width, height).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Name, files of the directory, parts of the message.
type Case<'a> = (&'a str, Vec<(&'a str, &'a [u8])>, &'a [&'a str]);

#[test]
fn directories() {
    const CAT: &[u8] = b"@folder/cat/00.png";
    const DOG: &[u8] = b"@folder/dog/01.png";
    let large = png(9, 9);
    let csv = |text: &'static str| vec![("labels.csv", text.as_bytes()), ("a.png", CAT), ("b.png", DOG)];
    let cases: Vec<Case<'_>> = vec![
        ("empty", vec![], &["found no files", "expected a directory or tar of images"]),
        ("nothing for us", vec![("notes/readme", b"text")], &["notes/readme, text"]),
        ("no image", vec![("cat/a.png", b"no image"), ("dog/b.png", DOG)], &["cat/a.png", "JPEG, PNG or WebP"]),
        ("an empty image", vec![("cat/a.png", CAT), ("dog/b.png", b"")], &["dog/b.png", "an empty file"]),
        (
            "half an image",
            vec![("cat/a.png", CAT), ("dog/b.png", &large[..40])],
            &["dog/b.png", "cannot decode the PNG"],
        ),
        ("mixed sizes", vec![("cat/a.png", CAT), ("dog/b.png", &large)], &["dog/b.png", "9 x 9", "6 x 5", "resize"]),
        ("another format", vec![("cat/a.png", CAT), ("dog/b.gif", b"GIF89a\0\0")], &["dog/b.gif", "of another kind"]),
        (
            "notes in a class",
            vec![("cat/a.png", CAT), ("dog/b.txt", b"text")],
            &["dog/b.txt: found text; expected a JPEG"],
        ),
        ("outside of folders", vec![("cat/a.png", CAT), ("b.png", DOG)], &["b.png", "outside of the folders"]),
        ("no labels", vec![("a.png", CAT), ("b.png", DOG)], &["has no labels", "a folder for each class"]),
        ("one folder", vec![("cat/a.png", CAT), ("cat/b.png", DOG)], &["1 class names, \"cat\", for a model of 3"]),
        ("two folders", vec![("cat/a.png", CAT), ("dog/b.png", DOG)], &["2 class names", "as the model's labels"]),
        ("class 7", vec![("7/a.png", CAT), ("0/b.png", DOG)], &["label 7 of row 1", "classes 0 to 2"]),
        ("a row without its image", csv("a.png,0\nc.png,1\n"), &["labels.csv", "line 2", "no file \"c.png\""]),
        (
            "a row that leads out",
            csv("a.png,0\n../b.png,1\n"),
            &["labels.csv", "line 2", "\"../b.png\" is no path within"],
        ),
        ("an absolute row", csv("path,label\n/etc/passwd,1\n"), &["line 2", "\"/etc/passwd\" is no path within"]),
        ("a row without a label", csv("a.png,0\nb.png,\n"), &["labels.csv", "line 2", "no label"]),
        ("a short row", csv("a.png,0\nb.png\n"), &["labels.csv", "line 2", "found record with 1 fields"]),
        ("no labels in the CSV", csv("path\na.png\nb.png\n"), &["has no labels"]),
        ("a CSV of something else", csv("when,what\n1,2\n"), &["labels.csv", "no column `path`"]),
        ("an empty CSV", csv("path,label\n"), &["`x` of shape (0)", "not empty"]),
        ("fewer labels", vec![("x.npy", b"@x.npy"), ("y.npy", b"\x93NUMPY")], &["y.npy", "array `y`"]),
        ("two lists", vec![("a.csv", b"a.png,1"), ("b.csv", b"a.png,1"), ("a.png", CAT)], &["a.csv and b.csv"]),
        (
            "two splits",
            vec![("test-0.parquet", b"@images.parquet"), ("train-0.parquet", b"@images.parquet")],
            &["several sets, test-0.parquet and train-0.parquet"],
        ),
    ];
    for (case, files, parts) in cases {
        let root = directory(&files);
        let error = read(root.path(), &plain()).expect_err(case).to_string();
        assert!(error.contains(&root.path().display().to_string()), "{case} names the place: {error}");
        for part in parts {
            assert!(error.contains(part), "{case}: {part:?} is not in: {error}");
        }
    }
}

#[test]
fn one_class_only() {
    let root = directory(&[
        ("labels.csv", b"a.png,2\nb.png,2\n"),
        ("a.png", b"@folder/cat/00.png"),
        ("b.png", b"@folder/dog/01.png"),
    ]);
    // That all are the same is for the evaluation to refuse: calibration may be of one class.
    assert_eq!(read(root.path(), &plain()).unwrap(), [2, 2]);
}

fn tar(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, kind, data) in entries {
        let mut header = tar::Header::new_gnu();
        // Past `set_path`, which refuses what a stranger's tar may hold.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(data.len() as u64);
        header.set_entry_type(*kind);
        header.set_cksum();
        tar.append(&header, *data).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn archives() {
    use tar::EntryType::{Directory, Link, Regular, Symlink};
    let image = &std::fs::read(fixture("folder/cat/00.png")).unwrap()[..];
    let whole = std::fs::read(fixture("folder.tar")).unwrap();
    let webdataset = std::fs::read(fixture("webdataset.tar")).unwrap();
    let parquet = std::fs::read(fixture("images.parquet")).unwrap();
    for (case, bytes, part) in [
        ("leads out", tar(&[("../a.png", Regular, image)]), "\"../a.png\": found a path that leads out of the archive"),
        ("absolute", tar(&[("/etc/a.png", Regular, image)]), "\"/etc/a.png\": found a path that leads out"),
        ("a link", tar(&[("a.png", Symlink, b"")]), "\"a.png\": found a link"),
        ("a hard link", tar(&[("a.png", Link, b"")]), "\"a.png\": found a link"),
        ("twice", tar(&[("a.png", Regular, image), ("./a.png", Regular, image)]), "a.png: found it twice"),
        ("no files", tar(&[("cat/", Directory, b"")]), "found no files"),
        ("no name", tar(&[("", Regular, image)]), "leads out of the archive"),
        ("cut in an image", whole[..whole.len() / 2 - 300].to_vec(), "truncated"),
        ("cut between images", whole[..1024].to_vec(), "truncated"),
        ("cut in a header", whole[..1024 + 100].to_vec(), "expected a whole tar file"),
        ("a damaged header", [&whole[..1024], b"damaged", &whole[1031..]].concat(), "checksum"),
        ("a label alone", tar(&[("1.cls", Regular, b"0")]), "1: found a .cls file alone"),
        (
            "an image alone",
            tar(&[("1.png", Regular, image), ("1.cls", Regular, b"0"), ("2.png", Regular, image)]),
            "2: found an image alone",
        ),
        ("an empty label", tar(&[("1.png", Regular, image), ("1.cls", Regular, b" \n")]), "1.cls: found no text"),
        (
            "two images",
            tar(&[("1.png", Regular, image), ("1.a.png", Regular, image), ("1.cls", Regular, b"0")]),
            "two images",
        ),
        ("half a WebDataset", webdataset[..webdataset.len() / 2].to_vec(), "truncated"),
        ("half a Parquet file", parquet[..parquet.len() / 2].to_vec(), "expected a whole Parquet file"),
        ("a Parquet file without its beginning", [b"PAR1", &parquet[2000..]].concat(), "Parquet"),
        ("gzip", b"\x1F\x8B\x08\0".to_vec(), "it is compressed by gzip"),
        ("an image", image.to_vec(), "it is an image; expected a directory or tar of images"),
        ("text", b"hello, world\n".to_vec(), "it is text; expected a directory"),
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let error = read(file.path(), &plain()).expect_err(case).to_string();
        assert!(error.contains(part), "{case}: {error}");
        assert!(error.contains(&file.path().display().to_string()), "{case} names the file: {error}");
    }
}

/// Whatever a Parquet file holds, reading it ends with rows or with an error.
#[test]
fn damaged_parquet() {
    for name in ["images.parquet", "lists.parquet", "nested.parquet"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut refused = 0;
        for at in (4..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            std::fs::write(file.path(), bytes).unwrap();
            refused += usize::from(read(file.path(), &plain()).is_err());
        }
        assert!(refused > 50, "{name}: {refused}");
    }
}

#[test]
fn parquet_with_other_columns() {
    use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    let make = |schema: &str, image: Option<&[u8]>, label: Option<i64>| {
        let schema = std::sync::Arc::new(parse_message_type(schema).unwrap());
        let mut writer = SerializedFileWriter::new(Vec::new(), schema, std::sync::Arc::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let (levels, values) = (i16::from(image.is_some()), image.map(|i| ByteArray::from(i.to_vec())));
        column.typed::<ByteArrayType>().write_batch(values.as_slice(), Some(&[levels]), None).unwrap();
        column.close().unwrap();
        if let Some(mut column) = group.next_column().unwrap() {
            let levels = i16::from(label.is_some());
            column.typed::<Int64Type>().write_batch(label.as_slice(), Some(&[levels]), None).unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
        writer.into_inner().unwrap()
    };
    let image = &std::fs::read(fixture("folder/cat/00.png")).unwrap()[..];
    let both = "message m { optional binary picture; optional int64 label; }";
    for (case, bytes, part) in [
        (
            "no labels",
            make("message m { optional binary picture; }", Some(image), None),
            "has no labels; expected a column",
        ),
        ("null label", make(both, Some(image), None), "row 0: found null"),
        ("null image", make(both, None, Some(1)), "row 0: found null"),
        ("no image", make(both, Some(b"no image"), Some(1)), "row 0: found content that is no image"),
        ("class 5", make(both, Some(image), Some(5)), "label 5 of row 0"),
        (
            "text only",
            make("message m { optional binary picture (UTF8); }", Some(b"a.png"), None),
            "the columns picture BYTE_ARRAY",
        ),
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let error = read(file.path(), &plain()).expect_err(case).to_string();
        assert!(error.contains(part), "{case}: {error}");
    }
}

#[test]
fn pre_processing_that_does_not_fit() {
    let resize = |width, height| Some(Resize { width: Some(width), height: Some(height), ..Resize::default() });
    for (preprocessing, part) in [
        (Preprocessing { resize: resize(5, 6), ..plain() }, "images of 5 x 6; expected 6 x 5"),
        (Preprocessing { crop: Some(Crop { width: 6, height: 5 }), resize: resize(4, 4), ..plain() }, "4 x 4 pixels"),
        (Preprocessing { mean: vec![0.0; 4], ..plain() }, "4 values of preprocessing.mean"),
    ] {
        let error = read(&fixture("folder"), &preprocessing).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_file_that_changes_under_the_run() {
    let root = directory(&[("0/a.png", b"@folder/cat/00.png"), ("1/b.png", b"@folder/dog/01.png")]);
    let data = Dataset::open(root.path(), &input(&[-1, 3, 5, 6]), &plain()).unwrap();
    std::fs::write(root.path().join("1/b.png"), png(6, 5)).unwrap();
    let error = data.batches(9, 9, |_| Ok::<(), DatasetError>(())).unwrap_err();
    assert!(matches!(error, DatasetError::Changed { .. }), "{error}");
}
