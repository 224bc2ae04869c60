use std::path::Path;

use super::DatasetError;

/// How many names a message shows.
const SHOWN: usize = 5;

/// The label of each item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Labels {
    Numbers(Vec<i64>),
    /// Sorted names, and for each item the index of its own.
    Names {
        names: Vec<String>,
        of: Vec<u32>,
    },
}

impl Labels {
    pub(super) fn of_names(items: &[String]) -> Self {
        let mut names = items.to_vec();
        names.sort_unstable();
        names.dedup();
        let of = items.iter().map(|i| names.partition_point(|n| n < i) as u32).collect();
        Self::Names { names, of }
    }

    /// The class names; empty where the labels are numbers, or texts that are all numbers.
    pub(super) fn names(&self) -> &[String] {
        match self {
            Self::Names { names, .. } if numbers(names).is_none() => names,
            _ => &[],
        }
    }

    /// Class numbers, each below `classes`. A name is looked up in `labels`, those of the model. Without them names that are all
    /// numbers are taken as such, and others in their order, which fits only where each class is there.
    ///
    /// `name` is that of an item, for messages.
    pub(super) fn resolve(
        &self,
        path: &Path,
        labels: &[String],
        classes: usize,
        name: impl Fn(usize) -> String,
    ) -> Result<Vec<u32>, DatasetError> {
        let path = || path.to_owned();
        let bounded = |(row, label): (usize, i64)| {
            let fail = || DatasetError::Label { path: path(), row, label, classes };
            u32::try_from(label).ok().filter(|l| (*l as usize) < classes).ok_or_else(fail)
        };
        let (names, of) = match self {
            Self::Numbers(numbers) => return numbers.iter().copied().enumerate().map(bounded).collect(),
            Self::Names { names, of } => (names, of),
        };
        let index = |name: &String| labels.iter().position(|l| l == name).map(|i| i as i64);
        let known: Vec<Option<i64>> = names.iter().map(index).collect();
        let numbers: Vec<i64> = if known.iter().all(Option::is_some) {
            known.into_iter().flatten().collect()
        } else if let Some(numbers) = numbers(names) {
            numbers
        } else if labels.is_empty() && names.len() == classes {
            (0..names.len() as i64).collect()
        } else if labels.is_empty() {
            let (found, names) = (names.len(), shown(names));
            return Err(DatasetError::ClassNames { path: path(), found, names, classes });
        } else {
            let unknown = known.iter().position(Option::is_none).unwrap_or_default();
            let entry = of.iter().position(|o| *o as usize == unknown).unwrap_or_default();
            let (unknown, labels) = (names[unknown].clone(), shown(labels));
            return Err(DatasetError::UnknownClass { path: path(), name: unknown, entry: name(entry), labels });
        };
        of.iter().map(|o| numbers[*o as usize]).enumerate().map(bounded).collect()
    }
}

fn numbers(names: &[String]) -> Option<Vec<i64>> {
    names.iter().map(|n| n.parse().ok()).collect()
}

pub(super) fn shown(names: &[String]) -> String {
    let some = names.iter().take(SHOWN).map(|n| format!("{n:?}")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{some}, … ({} in all)", names.len()) } else { some }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(items: &[&str], labels: &[&str], classes: usize) -> Result<Vec<u32>, String> {
        let owned = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let labelled = Labels::of_names(&owned(items));
        labelled.resolve(Path::new("data"), &owned(labels), classes, |i| format!("item {i}")).map_err(|e| e.to_string())
    }

    #[test]
    fn names_become_numbers() {
        for (items, labels, classes, expected) in [
            (&["dog", "cat", "dog"][..], &[][..], 2, &[1, 0, 1][..]),
            (&["dog", "cat"], &["dog", "bird", "cat"], 3, &[0, 2]),
            (&["10", "2", "0"], &[], 11, &[10, 2, 0]),
            // As torchvision numbers folders: by text.
            (&["10", "2"], &["0", "1", "10", "2"], 4, &[2, 3]),
            (&["7"], &["zero", "one"], 8, &[7]),
        ] {
            assert_eq!(resolve(items, labels, classes).unwrap(), expected, "{items:?}");
        }
        for (items, labels, classes, part) in [
            (&["cat", "dog"][..], &[][..], 10, "2 class names, \"cat\", \"dog\", for a model of 10 classes"),
            (&["cat", "fish"], &["cat", "dog"], 2, "class \"fish\" of item 1; expected one of the model's labels"),
            (&["cat", "dog"], &["cat", "dog"], 1, "label 1 of row 1"),
            (&["-1"], &[], 2, "label -1 of row 0"),
            (&["a", "b", "c", "d", "e", "f"], &[], 2, "\"e\", … (6 in all)"),
        ] {
            let error = resolve(items, labels, classes).unwrap_err();
            assert!(error.contains(part), "{items:?}: {error}");
        }
    }
}
