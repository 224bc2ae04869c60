//! Boxes in the JSON of COCO: `images`, `annotations` and `categories`; what else it has is not read.

use std::collections::{HashMap, HashSet};
use std::io::Read;

use drydock_detection::Bounds;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::DatasetError;
use super::images::ImageFiles;
use super::marks::{Mark, Marks};
use super::tree::{Tree, clean, directory};

/// Of a list: that of COCO's 118 thousand training images has 450 MB.
const MAX_BYTES: u64 = 1 << 30;

/// A list as it is written.
#[derive(Debug, Deserialize)]
pub(super) struct Listing {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Debug, Deserialize)]
struct Image {
    id: i64,
    file_name: String,
    width: Option<u32>,
    height: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Annotation {
    image_id: i64,
    category_id: Option<i64>,
    /// x, y, width and height.
    bbox: Option<Vec<f64>>,
    #[serde(default)]
    iscrowd: Flag,
}

/// COCO writes 0 or 1, other tools false or true.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "iscrowd is neither 0 or 1 nor false or true")]
enum Flag {
    Word(bool),
    Number(u8),
}

impl Default for Flag {
    fn default() -> Self {
        Self::Word(false)
    }
}

#[derive(Debug, Deserialize)]
struct Category {
    id: i64,
    name: String,
}

/// Any JSON.
#[derive(Debug, Deserialize)]
struct Keys {
    images: Option<IgnoredAny>,
    annotations: Option<IgnoredAny>,
    categories: Option<IgnoredAny>,
}

/// `None`: it is a JSON of another kind. `open` is called once or twice.
///
/// # Errors
/// What is no JSON, or has something else where COCO has its lists.
pub(super) fn read<R: Read>(
    size: u64,
    mut open: impl FnMut() -> std::io::Result<R>,
) -> Result<Option<Listing>, String> {
    if size > MAX_BYTES {
        return Err(format!("found {size} bytes; expected at most {MAX_BYTES}"));
    }
    let keys: Keys = serde_json::from_reader(open().map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    if keys.images.is_none() || keys.annotations.is_none() || keys.categories.is_none() {
        return Ok(None);
    }
    serde_json::from_reader(open().map_err(|e| e.to_string())?).map(Some).map_err(|e| e.to_string())
}

impl Listing {
    /// Of the images, as the list has them.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.images.iter().map(|i| i.file_name.as_str())
    }

    /// `list`: index of this one in the tree.
    ///
    /// # Errors
    /// The first image, category or annotation that cannot be, by its place in the list.
    pub(super) fn images(self, tree: Tree, list: usize) -> Result<ImageFiles, DatasetError> {
        let name = tree.name(list).to_owned();
        let refused =
            |what: String, problem: String| DatasetError::entry(tree.path(), &name, format!("{what}: {problem}"));
        let mut order = Vec::with_capacity(self.images.len());
        let mut places: HashMap<i64, usize> = HashMap::with_capacity(self.images.len());
        let find = finder(&tree, directory(&name));
        for (i, image) in self.images.iter().enumerate() {
            let what = || format!("images[{i}]");
            let file = find(&image.file_name).map_err(|problem| refused(what(), problem))?;
            if places.insert(image.id, i).is_some() {
                return Err(refused(what(), format!("found the id {} again; expected each once", image.id)));
            }
            order.push(file as u32);
        }
        let mut categories: Vec<&Category> = self.categories.iter().collect();
        categories.sort_by_key(|c| c.id);
        if let Some(twice) = categories.windows(2).find(|w| w[0].id == w[1].id) {
            return Err(refused(
                "categories".into(),
                format!("found the id {} again; expected each once", twice[0].id),
            ));
        }
        let mut names = HashSet::new();
        if let Some(twice) = categories.iter().find(|c| !names.insert(&c.name)) {
            return Err(refused(
                "categories".into(),
                format!("found the name {:?} again; expected each once", twice.name),
            ));
        }
        let mut of: Vec<Vec<Mark>> = vec![Vec::new(); self.images.len()];
        for (i, annotation) in self.annotations.iter().enumerate() {
            let (place, mark) = annotation
                .mark(&places, &categories, &self.images)
                .map_err(|problem| refused(format!("annotations[{i}]"), problem))?;
            of[place].push(mark);
        }
        drop(find);
        let sizes = self.images.iter().map(|i| i.width.zip(i.height)).collect();
        let categories = categories.into_iter().map(|c| c.name.clone()).collect();
        let marks = Marks { categories, of, sizes };
        Ok(ImageFiles::new(tree, order, None).with_marks(marks))
    }
}

impl Annotation {
    /// The place of its image, and what it marks there.
    fn mark(
        &self,
        places: &HashMap<i64, usize>,
        categories: &[&Category],
        images: &[Image],
    ) -> Result<(usize, Mark), String> {
        let unknown = || format!("found image_id {}; expected the id of one of images", self.image_id);
        let place = *places.get(&self.image_id).ok_or_else(unknown)?;
        let id = self.category_id.ok_or("found no category_id; expected the id of one of categories")?;
        let category = categories.binary_search_by_key(&id, |c| c.id);
        let category =
            category.map_err(|_| format!("found category_id {id}; expected the id of one of categories"))? as u32;
        let found = self.bbox.as_deref().ok_or("found no bbox; expected x, y, width and height")?;
        let wrong = |expected: &str| Err(format!("found bbox {found:?}; expected {expected}"));
        let [x, y, width, height] = *found else { return wrong("four numbers: x, y, width and height") };
        if found.iter().any(|v| !v.is_finite()) || width < 0.0 || height < 0.0 {
            return wrong("x, y, width and height, the last two not below 0");
        }
        let bounds = Bounds { left: x, top: y, right: x + width, bottom: y + height };
        if let Some((w, h)) = images.get(place).and_then(|i| i.width.zip(i.height)) {
            let is_inside = x < f64::from(w) && y < f64::from(h) && bounds.right >= 0.0 && bounds.bottom >= 0.0;
            if !is_inside {
                return wrong(&format!("a box in the image, which is {w} x {h} pixels (width x height)"));
            }
        }
        Ok((place, Mark { category, bounds, crowd: matches!(self.iscrowd, Flag::Word(true) | Flag::Number(1..)) }))
    }
}

/// Finds a file from the directory of the list on, or from the top, or, as COCO has them, in a directory of its own.
fn finder<'t>(tree: &'t Tree, beside: &'t str) -> impl Fn(&str) -> Result<usize, String> + 't {
    let mut by_name: HashMap<&str, Option<usize>> = HashMap::new();
    for (i, name) in tree.names().enumerate() {
        let last = &name[directory(name).len()..];
        by_name.entry(last).and_modify(|place| *place = None).or_insert(Some(i));
    }
    move |file| {
        let inside = clean(file).ok_or_else(|| format!("file_name {file:?} is no path within the data set"))?;
        let exact = [format!("{beside}{inside}"), inside.clone()].iter().find_map(|name| tree.find(name));
        let alone = || if inside.contains('/') { None } else { by_name.get(inside.as_str()).copied() };
        match exact.map(Some).or_else(alone) {
            Some(Some(place)) => Ok(place),
            Some(None) => Err(format!("there are several files {file:?}; expected one, or a path from the top")),
            None => Err(format!("there is no file {file:?}")),
        }
    }
}
