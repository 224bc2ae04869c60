use std::path::Path;

use drydock_detection::Bounds;

use super::DatasetError;
use super::labels::shown;
use crate::evaluate::Truth;

/// The objects that are marked in each image.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    /// Names, in the order of their numbers in the list.
    pub(super) categories: Vec<String>,
    pub(super) of: Vec<Vec<Mark>>,
    /// Width and height of each image, where the list has them.
    pub(super) sizes: Vec<Option<(u32, u32)>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) category: u32,
    pub(super) bounds: Bounds,
    pub(super) crowd: bool,
}

impl Marks {
    /// With class numbers. A category is looked up in `labels`, those of the model; without them categories are classes in the order
    /// of their numbers, which fits only where there are as many. `classes`: what the model has, where it is known.
    ///
    /// `name` is that of an image, for messages.
    pub(super) fn resolve(
        &self,
        path: &Path,
        labels: &[String],
        classes: Option<usize>,
        name: impl Fn(usize) -> String,
    ) -> Result<Vec<Vec<Truth>>, DatasetError> {
        let path = || path.to_owned();
        if self.of.iter().flatten().all(|m| m.crowd) {
            return Err(DatasetError::NoObjects { path: path(), images: self.of.len() });
        }
        let numbers: Vec<Option<usize>> = match labels {
            [] if classes == Some(self.categories.len()) => (0..self.categories.len()).map(Some).collect(),
            [] => {
                let (found, names) = (self.categories.len(), shown(&self.categories));
                return Err(match classes {
                    Some(classes) => DatasetError::ClassNames { path: path(), found, names, classes },
                    None => DatasetError::NoClasses { path: path(), names },
                });
            }
            labels => self.categories.iter().map(|c| labels.iter().position(|l| l == c)).collect(),
        };
        let truth = |(image, mark): (usize, &Mark)| {
            let category = mark.category as usize;
            let class = numbers[category].ok_or_else(|| DatasetError::UnknownClass {
                path: path(),
                name: self.categories[category].clone(),
                entry: name(image),
                labels: shown(labels),
            })?;
            Ok(Truth { class, bounds: mark.bounds, crowd: mark.crowd })
        };
        self.of.iter().enumerate().map(|(i, marks)| marks.iter().map(|m| truth((i, m))).collect()).collect()
    }
}
