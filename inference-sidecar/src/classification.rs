//! The classification extension: the `k` largest values of each row, as `value:index` or `value:index:label`.

use std::cmp::Ordering;

use drydock_contract::Datatype;

use crate::element::{Element, each, for_element};
use crate::strings;
use crate::tensor::Tensor;

/// What `tensor` becomes for someone who wants its classes. `k` is cut to as many as there are.
pub(crate) fn classify(tensor: &Tensor, k: usize, labels: &[String]) -> Result<Tensor, String> {
    let name = &tensor.name;
    for_element!(tensor.datatype, T => rows::<T>(tensor, k, labels), Bytes => {
        Err(format!("output {name:?} is BYTES, which has no largest values; ask for it without classification"))
    })
}

fn rows<T: Element>(tensor: &Tensor, k: usize, labels: &[String]) -> Result<Tensor, String> {
    let values: Vec<T> = each(&tensor.data).collect();
    let (outer, rows) = match tensor.shape.first() {
        Some(rows) if tensor.shape.len() > 1 => (Some(*rows), tensor.rows()),
        _ => (None, 1),
    };
    let width = values.len().checked_div(rows).unwrap_or_default();
    let k = k.min(width);
    let mut data = Vec::new();
    for row in values.chunks(width.max(1)) {
        for (index, value) in largest(row, k) {
            let mut text = format!("{}:{index}", value.text());
            if let Some(label) = labels.get(index) {
                text.push(':');
                text.push_str(label);
            }
            strings::push(&mut data, text.as_bytes())?;
        }
    }
    let shape = outer.into_iter().chain([i64::try_from(k).unwrap_or(i64::MAX)]).collect();
    Ok(Tensor { name: tensor.name.clone(), datatype: Datatype::Bytes, shape, data: data.into() })
}

/// The `k` largest, the largest first; of equal ones the first, and what is no number last.
fn largest<T: Element>(row: &[T], k: usize) -> Vec<(usize, T)> {
    let mut all: Vec<(usize, T)> = row.iter().copied().enumerate().collect();
    let order = |a: &(usize, T), b: &(usize, T)| descending(a.1.to_f64(), b.1.to_f64()).then(a.0.cmp(&b.0));
    if (1..all.len()).contains(&k) {
        all.select_nth_unstable_by(k - 1, order);
    }
    all.truncate(k);
    all.sort_unstable_by(order);
    all
}

fn descending(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => b.total_cmp(&a),
        (a, b) => a.cmp(&b),
    }
}

/// The index in a string that [`classify`] made.
pub(crate) fn index(text: &[u8]) -> Option<usize> {
    let mut parts = std::str::from_utf8(text).ok()?.splitn(3, ':');
    parts.next()?.parse::<f64>().ok()?;
    parts.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[i64], values: &[f32]) -> Tensor {
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Tensor { name: "y".into(), datatype: Datatype::Fp32, shape: shape.to_vec(), data: data.into() }
    }

    fn texts(tensor: &Tensor) -> Vec<&str> {
        strings::texts(&tensor.data).unwrap()
    }

    #[test]
    fn the_largest_come_first() {
        let labels = ["cat".to_owned(), "dog".to_owned()];
        for (shape, values, k, found, texts_) in [
            (&[4][..], &[1.0, 5.0, 10.0, 4.0][..], 2, &[2][..], &["10:2", "5:1:dog"][..]),
            (&[1, 2], &[0.25, -1.5], 1, &[1, 1], &["0.25:0:cat"]),
            (&[2, 2], &[0.1, 0.9, 3.0, 3.0], 1, &[2, 1], &["0.9:1:dog", "3:0:cat"]),
            (&[1, 2], &[f32::NAN, f32::NEG_INFINITY], 9, &[1, 2], &["-inf:1:dog", "NaN:0:cat"]),
            (&[], &[7.0], 1, &[1], &["7:0:cat"]),
        ] {
            let classes = classify(&tensor(shape, values), k, &labels).unwrap();
            assert_eq!((classes.shape.as_slice(), texts(&classes).as_slice()), (found, texts_), "{values:?}");
            assert_eq!(crate::tensor::check_data(classes.datatype, &classes.shape, &classes.data), Ok(()));
        }
    }

    #[test]
    fn strings_have_no_classes() {
        let strings = Tensor { datatype: Datatype::Bytes, ..tensor(&[1], &[0.0]) };
        assert!(classify(&strings, 1, &[]).unwrap_err().contains("no largest values"));
    }

    #[test]
    fn the_index_is_found_again() {
        for (text, found) in [
            ("10:2", Some(2)),
            ("-1.5e3:0:a:b", Some(0)),
            ("NaN:3:cat", Some(3)),
            ("a:1", None),
            ("1:a", None),
            ("1", None),
            ("", None),
        ] {
            assert_eq!(index(text.as_bytes()), found, "{text}");
        }
    }
}
