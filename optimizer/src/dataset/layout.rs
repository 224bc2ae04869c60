//! How the files of a directory or a tar make a data set.

use std::collections::HashMap;

use super::arrays::Arrays;
use super::coco::Listing;
use super::error::FORMATS;
use super::format::Format;
use super::images::ImageFiles;
use super::kind::Kind;
use super::labels::Labels;
use super::opened::labels_beside;
use super::parquet::Parquet;
use super::tree::{Tree, clean, directory};
use super::{DatasetError, coco, table, webdataset};
use crate::interrupt;

/// So many files that are not called as images are looked into. There are that many only where images have no extensions.
const LOOKED_INTO: usize = 1000;

pub(super) fn format(tree: Tree) -> Result<Format, DatasetError> {
    if tree.len() == 0 {
        return Err(unknown(&tree, "no files".into()));
    }
    if tree.names().any(webdataset::is_label) {
        return Ok(Format::Images(webdataset::samples(tree)?));
    }
    let kinds = kinds(&tree)?;
    let of = |kind| kinds.iter().enumerate().filter(move |(_, k)| **k == kind).map(|(i, _)| i).collect::<Vec<_>>();
    let (arrays, shards) = (of(Kind::Npy), of(Kind::Parquet));
    if !arrays.is_empty() {
        return npy(&tree, &arrays);
    }
    if !shards.is_empty() {
        return parquet(&tree, &shards);
    }
    if let Some((at, listing)) = listing(&tree, &of(Kind::Json))? {
        return Ok(Format::Images(listing.images(tree, at)?));
    }
    match table(&tree, &of(Kind::Text))? {
        Some((at, rows)) => Ok(Format::Images(listed(tree, at, &rows)?)),
        None => Ok(Format::Images(class_folders(tree, &kinds)?)),
    }
}

fn unknown(tree: &Tree, found: String) -> DatasetError {
    DatasetError::Shape { path: tree.path().to_owned(), found, expected: FORMATS.into() }
}

fn kinds(tree: &Tree) -> Result<Vec<Kind>, DatasetError> {
    let mut looked = 0;
    (0..tree.len())
        .map(|i| {
            interrupt::check()?;
            if looked == LOOKED_INTO {
                return Ok(Kind::Image);
            }
            let (kind, read) = tree.kind(i)?;
            looked += usize::from(read);
            Ok(kind)
        })
        .collect()
}

fn npy(tree: &Tree, arrays: &[usize]) -> Result<Format, DatasetError> {
    let labels = |i: usize| labels_beside(tree.name(i));
    let named: Vec<usize> = arrays.iter().copied().filter(|i| labels(*i).is_some()).collect();
    let x = match (named.as_slice(), arrays) {
        ([x], _) | ([], [x]) => *x,
        _ => return Err(unknown(tree, format!("{} .npy files", arrays.len()))),
    };
    let y = labels(x).and_then(|y| tree.find(&y)).map(|y| tree.part(y)).transpose()?;
    Ok(Format::Arrays(Arrays::Npy { x: tree.part(x)?, y }))
}

/// All shards of one split: their names differ in digits only.
fn parquet(tree: &Tree, shards: &[usize]) -> Result<Format, DatasetError> {
    let stem = |i: &usize| tree.name(*i).replace(|c: char| c.is_ascii_digit(), "");
    if let Some(other) = shards.iter().find(|i| stem(i) != stem(&shards[0])) {
        let names = format!("Parquet files of several sets, {} and {}", tree.name(shards[0]), tree.name(*other));
        return Err(unknown(tree, names));
    }
    let parts = shards.iter().map(|i| tree.part(*i)).collect::<Result<_, _>>()?;
    Ok(Format::Parquet(Parquet::open(parts)?))
}

/// The one JSON that lists images and boxes.
fn listing(tree: &Tree, jsons: &[usize]) -> Result<Option<(usize, Listing)>, DatasetError> {
    let mut found = None;
    for at in jsons {
        let (name, part) = (tree.name(*at), tree.part(*at)?);
        let listing = match coco::read(part.size(), || part.reader(0)) {
            Ok(listing) => listing,
            // JSON in lines, say: a note.
            Err(_) if !name.to_lowercase().ends_with(".json") => None,
            Err(problem) => return Err(DatasetError::entry(tree.path(), name, problem)),
        };
        match (listing, &found) {
            (Some(_), Some((other, _))) => {
                return Err(unknown(tree, format!("two lists of boxes, {} and {name}", tree.name(*other))));
            }
            (Some(listing), None) => found = Some((*at, listing)),
            (None, _) => {}
        }
    }
    Ok(found)
}

/// The one text that lists images.
fn table(tree: &Tree, texts: &[usize]) -> Result<Option<(usize, Vec<table::Row>)>, DatasetError> {
    let mut found = None;
    for at in texts {
        let name = tree.name(*at);
        let exists = |path: &str| tree.find(&format!("{}{path}", directory(name))).is_some();
        let reader = tree.part(*at)?.reader(0).map_err(|e| DatasetError::entry(tree.path(), name, e))?;
        let rows = table::read(reader, &tree.path().join(name), &exists)?;
        match (rows, &found) {
            (Some(_), Some((other, _))) => {
                return Err(unknown(tree, format!("two lists of images, {} and {name}", tree.name(*other))));
            }
            (Some(rows), None) => found = Some((*at, rows)),
            (None, _) if name.to_lowercase().ends_with(".csv") => {
                let problem = "found no column `path` and no image as the first field; expected lines of a path, from the \
                               directory of the CSV on, and a label";
                return Err(DatasetError::entry(tree.path(), name, problem));
            }
            (None, _) => {}
        }
    }
    Ok(found)
}

fn listed(tree: Tree, at: usize, rows: &[table::Row]) -> Result<ImageFiles, DatasetError> {
    let csv = tree.name(at);
    let refused = |row: &table::Row, problem: String| {
        DatasetError::entry(tree.path(), csv, format!("line {}: {problem}", row.line))
    };
    let find = |row: &table::Row| {
        let inside = clean(&row.path)
            .ok_or_else(|| refused(row, format!("{:?} is no path within the directory of the CSV", row.path)))?;
        let missing = || refused(row, format!("there is no file {:?}", row.path));
        Ok(tree.find(&format!("{}{inside}", directory(csv))).ok_or_else(missing)? as u32)
    };
    let order = rows.iter().map(find).collect::<Result<Vec<u32>, DatasetError>>()?;
    let labels: Option<Vec<String>> = rows.iter().map(|r| r.label.clone()).collect();
    let labels = labels.filter(|l| !l.is_empty()).map(|l| Labels::of_names(&l));
    Ok(ImageFiles::new(tree, order, labels))
}

/// Images in a folder for each class, however deep, or all in one without classes.
fn class_folders(tree: Tree, kinds: &[Kind]) -> Result<ImageFiles, DatasetError> {
    let images: Vec<usize> = (0..tree.len()).filter(|i| kinds[*i] == Kind::Image).collect();
    let Some(first) = images.first() else {
        return Err(unknown(&tree, format!("{}, {}", tree.name(0), kinds[0].describe())));
    };
    // What all images lie in is no class.
    let mut common = directory(tree.name(*first)).to_owned();
    for image in &images {
        while !tree.name(*image).starts_with(&common) {
            common.truncate(directory(common.trim_end_matches('/')).len());
        }
    }
    let inside = |i: usize| tree.name(i).get(common.len()..).unwrap_or_default();
    let class = |i: usize| inside(i).split_once('/').map(|(class, _)| class);
    // A note may lie beside or above all images, but not in a folder of its own, which would be a class.
    let stray = |i: usize| kinds[i] != Kind::Image && !common.starts_with(directory(tree.name(i)));
    if let Some(other) = (0..tree.len()).find(|i| stray(*i)) {
        let problem = format!("found {}; expected a JPEG, PNG or WebP image", kinds[other].describe());
        return Err(DatasetError::entry(tree.path(), tree.name(other), problem));
    }
    let mut classes: Vec<Option<String>> = images.iter().map(|i| class(*i).map(str::to_owned)).collect();
    if classes.iter().all(Option::is_none) {
        // A tar is often that of a directory, which is no class then.
        let outer = usize::from(matches!(tree, Tree::Tar(_)));
        let only = common.trim_end_matches('/').rsplit('/').next().filter(|_| common.matches('/').count() > outer);
        classes.fill(only.map(str::to_owned));
    } else if let Some(outside) = classes.iter().position(Option::is_none) {
        let problem = "found an image outside of the folders of classes; expected none, or all there";
        return Err(DatasetError::entry(tree.path(), tree.name(images[outside]), problem));
    }
    let Some(classes) = classes.into_iter().collect::<Option<Vec<String>>>() else {
        return Ok(ImageFiles::new(tree, images.iter().map(|i| *i as u32).collect(), None));
    };
    let turns = turns(&classes);
    let order = turns.iter().map(|t| images[*t] as u32).collect();
    let classes: Vec<String> = turns.iter().map(|t| classes[*t].clone()).collect();
    Ok(ImageFiles::new(tree, order, Some(Labels::of_names(&classes))))
}

/// The order in which the classes take turns: the first images of a set are of all classes then.
fn turns(classes: &[String]) -> Vec<usize> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut order: Vec<(usize, usize)> = Vec::with_capacity(classes.len());
    for (i, class) in classes.iter().enumerate() {
        let turn = seen.entry(class).or_default();
        order.push((*turn, i));
        *turn += 1;
    }
    order.sort_unstable();
    order.into_iter().map(|(_, i)| i).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_take_turns() {
        let classes = ["a", "a", "a", "b", "c", "c"].map(str::to_owned);
        assert_eq!(turns(&classes), [0, 3, 4, 1, 5, 2]);
    }
}
