//! Data sets with boxes: COCO lists and the layouts of their files.

use std::path::Path;

use drydock_optimizer::dataset::{Dataset, DatasetError};
use serde_json::{Value, json};

use crate::datasets::input;
use crate::detection::{labels, preprocessing, read_json, squares};

/// The evaluation set as a directory.
fn unpacked() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let file = std::fs::File::open(squares("evaluation.tar")).unwrap();
    tar::Archive::new(file).unpack(directory.path()).unwrap();
    directory
}

fn open(path: &Path) -> Result<Dataset, DatasetError> {
    Dataset::open(path, &input(&[-1, 3, 48, 48]), &preprocessing())
}

#[test]
fn boxes_of_each_layout_of_files() {
    let packed = open(&squares("evaluation.tar")).unwrap();
    packed.require_boxes().unwrap();
    let expected = packed.boxes(Some(2)).unwrap().unwrap();
    assert_eq!((packed.len(), expected.len(), packed.name(3)), (40, 40, "val/000003.png".into()));
    let count = |crowd: bool| expected.iter().flatten().filter(|t| t.crowd == crowd).count();
    assert_eq!(
        (count(true), count(false) as u64),
        (1, read_json(&squares("expected.json"))["objects"].as_u64().unwrap())
    );
    assert_eq!(packed.class_names().unwrap(), labels());
    assert!(packed.require_labels().is_err());

    let directory = unpacked();
    assert_eq!(open(directory.path()).unwrap().boxes(Some(2)).unwrap().unwrap(), expected, "a directory");
    // Beside the images, and named itself, with another JSON and captions that are no list of boxes.
    let val = directory.path().join("val");
    std::fs::rename(directory.path().join("annotations/instances.json"), val.join("boxes.json")).unwrap();
    std::fs::write(val.join("notes.json"), r#"{"images": 3}"#).unwrap();
    assert_eq!(open(&val.join("boxes.json")).unwrap().boxes(Some(2)).unwrap().unwrap(), expected, "a JSON");
    let named = open(&val.join("boxes.json")).unwrap().with_classes(&["x", "blue", "red"].map(str::to_owned));
    let turned = named.boxes(Some(3)).unwrap().unwrap();
    assert!(turned.iter().flatten().zip(expected.iter().flatten()).all(|(a, b)| a.class == 2 - b.class));
}

type Change = fn(&mut Value);

#[test]
fn annotations_that_are_refused() {
    let directory = unpacked();
    let path = directory.path().join("annotations/instances.json");
    let good = read_json(&path);
    let cases: [(&str, Change, &str); 18] = [
        ("no such image", |v| v["annotations"][3]["image_id"] = json!(7), "annotations[3]: found image_id 7"),
        ("no such category", |v| v["annotations"][3]["category_id"] = json!(4), "annotations[3]: found category_id 4"),
        (
            "no box",
            |v| {
                v["annotations"][3].as_object_mut().unwrap().remove("bbox");
            },
            "annotations[3]: found no bbox",
        ),
        (
            "three numbers",
            |v| v["annotations"][3]["bbox"] = json!([1, 2, 3]),
            "annotations[3]: found bbox [1.0, 2.0, 3.0]",
        ),
        ("below 0", |v| v["annotations"][3]["bbox"] = json!([9, 9, -1, 3]), "the last two not below 0"),
        (
            "outside",
            |v| v["annotations"][3]["bbox"] = json!([64, 9, 3, 3]),
            "a box in the image, which is 64 x 48 pixels",
        ),
        ("text", |v| v["annotations"][3]["bbox"] = json!("1 2 3 4"), "instances.json: invalid type: string"),
        ("no file", |v| v["images"][2]["file_name"] = json!("x.png"), "images[2]: there is no file \"x.png\""),
        (
            "out of it",
            |v| v["images"][2]["file_name"] = json!("../x.png"),
            "images[2]: file_name \"../x.png\" is no path",
        ),
        ("an image twice", |v| v["images"][2]["id"] = json!(100), "images[2]: found the id 100 again"),
        ("a category twice", |v| v["categories"][1]["id"] = json!(3), "categories: found the id 3 again"),
        ("a name twice", |v| v["categories"][1]["name"] = json!("red"), "categories: found the name \"red\" again"),
        ("no objects", |v| v["annotations"] = json!([]), "none of 40 images has an object"),
        (
            "crowds alone",
            |v| {
                for a in v["annotations"].as_array_mut().unwrap() {
                    a["iscrowd"] = json!(1);
                }
            },
            "none of 40 images has an object that is no crowd",
        ),
        ("another size", |v| v["images"][2]["width"] = json!(640), "val/000002.png: found an image of 64 x 48 pixels"),
        (
            "too many",
            |v| v["categories"].as_array_mut().unwrap().push(json!({"id": 9, "name": "green"})),
            "3 class names",
        ),
        (
            "a word for a crowd",
            |v| v["annotations"][3]["iscrowd"] = json!("no"),
            "iscrowd is neither 0 or 1 nor false or true",
        ),
        ("not a list", |v| v["images"] = json!([{"id": "a"}]), "instances.json: "),
    ];
    for (name, change, part) in cases {
        let mut changed = good.clone();
        change(&mut changed);
        std::fs::write(&path, changed.to_string()).unwrap();
        let read = || {
            let data = open(directory.path())?;
            data.boxes(Some(2))?;
            data.batches(usize::MAX, 8, |_| Ok(()))
        };
        let error: DatasetError = read().expect_err(name);
        assert!(error.to_string().contains(part), "{name}: {error}");
    }
    std::fs::write(&path, good.to_string()).unwrap();
    let error = open(directory.path()).unwrap().boxes(None).unwrap_err().to_string();
    assert!(error.contains("neither labels nor the outputs"), "{error}");
    std::fs::write(directory.path().join("annotations/more.json"), good.to_string()).unwrap();
    let error = open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("two lists of boxes"), "{error}");
    std::fs::write(directory.path().join("annotations/more.json"), "{\"images\": [").unwrap();
    let error = open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("more.json: EOF while parsing"), "{error}");
}

/// Named itself, alone: the cause is what is wrong with it, not that a JSON is no data set.
#[test]
fn a_list_of_boxes_that_is_named_says_what_is_wrong() {
    let directory = unpacked();
    let val = directory.path().join("val");
    let list = val.join("boxes.json");
    let mut good = read_json(&directory.path().join("annotations/instances.json"));
    for (annotation, crowd) in good["annotations"].as_array_mut().unwrap().iter_mut().zip([true, false, false]) {
        annotation["iscrowd"] = json!(crowd);
    }
    std::fs::write(&list, good.to_string()).unwrap();
    let crowds = open(&list).unwrap().boxes(Some(2)).unwrap().unwrap();
    assert!(crowds.iter().flatten().next().unwrap().crowd, "iscrowd: true is read");

    std::fs::write(&list, "{\"images\": [").unwrap();
    let error = open(&list).unwrap_err().to_string();
    assert!(error.contains("boxes.json: EOF while parsing"), "{error}");
    let alone = tempfile::tempdir().unwrap();
    let list = alone.path().join("boxes.json");
    std::fs::write(&list, good.to_string()).unwrap();
    let error = open(&list).unwrap_err().to_string();
    assert!(error.contains("images[0]: there is no file"), "{error}");
    std::fs::write(&list, r#"{"images": 3}"#).unwrap();
    let error = open(&list).unwrap_err().to_string();
    assert!(error.contains("expected a directory or tar of images"), "{error}");
}
