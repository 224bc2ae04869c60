use std::collections::BTreeMap;

use super::DatasetError;
use super::images::ImageFiles;
use super::kind::Kind;
use super::labels::Labels;
use super::tree::{Tree, directory};
use crate::interrupt;

/// What a label file may have of bytes.
const MAX_LABEL: u64 = 1024;

/// Files of one sample share their name up to the first dot.
#[derive(Default)]
struct Sample {
    image: Option<usize>,
    label: Option<usize>,
}

pub(super) fn is_label(name: &str) -> bool {
    split(name).1 == "cls"
}

/// Key and extensions.
fn split(name: &str) -> (&str, &str) {
    let start = directory(name).len();
    name[start..].find('.').map_or((name, ""), |dot| (&name[..start + dot], &name[start + dot + 1..]))
}

/// The samples in the order in which they lie in the archive.
pub(super) fn samples(tree: Tree) -> Result<ImageFiles, DatasetError> {
    let mut samples: BTreeMap<&str, Sample> = BTreeMap::new();
    let refused = |key: &str, problem: &str| DatasetError::entry(tree.path(), key, problem);
    for (i, name) in tree.names().enumerate() {
        interrupt::check()?;
        let (key, extension) = split(name);
        let sample = match extension {
            "cls" => {
                samples.entry(key).or_default().label = Some(i);
                continue;
            }
            // What else a sample has is not for us.
            "json" | "txt" | "text" => continue,
            _ if tree.kind(i)?.0 == Kind::Image => samples.entry(key).or_default(),
            _ => continue,
        };
        if sample.image.replace(i).is_some() {
            return Err(refused(key, "found two images in one sample; expected one"));
        }
    }
    let mut rows = Vec::with_capacity(samples.len());
    let mut text = Vec::new();
    for (key, sample) in samples {
        let image = sample.image.ok_or_else(|| refused(key, "found a .cls file alone; expected an image beside it"))?;
        let label = sample.label.ok_or_else(|| refused(key, "found an image alone; expected a .cls file beside it"))?;
        if tree.part(label)?.size() > MAX_LABEL {
            return Err(refused(tree.name(label), "found more than 1024 bytes; expected a class"));
        }
        tree.read(label, &mut text)?;
        let class = std::str::from_utf8(&text).map(str::trim).unwrap_or_default();
        if class.is_empty() {
            return Err(refused(tree.name(label), "found no text; expected a class"));
        }
        rows.push((tree.place(image), image as u32, class.to_owned()));
    }
    rows.sort_unstable();
    let order = rows.iter().map(|(_, image, _)| *image).collect();
    let classes: Vec<String> = rows.into_iter().map(|(.., class)| class).collect();
    Ok(ImageFiles::new(tree, order, Some(Labels::of_names(&classes))))
}
