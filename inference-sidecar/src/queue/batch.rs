//! Joining requests along dimension 0, and splitting their answers.

use crate::backend::Signature;
use crate::tensor::Tensor;

/// Only where the model leaves dimension 0 of everything open, and all rows of a tensor have one size.
pub(super) fn is_possible(signature: &Signature) -> bool {
    let mut tensors = signature.inputs.iter().chain(&signature.outputs);
    !signature.inputs.is_empty() && tensors.all(|t| t.shape.first() == Some(&-1) && t.datatype.width().is_some())
}

/// Whether two requests agree in all dimensions but the first, and each has one number of rows.
pub(super) fn fits(a: &[Tensor], b: &[Tensor]) -> bool {
    let even = |t: &[Tensor]| t.windows(2).all(|w| matches!(w, [x, y] if x.rows() == y.rows()));
    even(a) && even(b) && a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.shape.get(1..) == y.shape.get(1..))
}

/// One tensor of each input, the requests' rows one after another.
pub(super) fn join(requests: &[&[Tensor]]) -> Vec<Tensor> {
    let Some(first) = requests.first() else { return Vec::new() };
    first
        .iter()
        .enumerate()
        .map(|(i, t)| {
            let parts: Vec<&Tensor> = requests.iter().filter_map(|r| r.get(i)).collect();
            let mut data = Vec::with_capacity(parts.iter().map(|p| p.data.len()).sum());
            for part in &parts {
                data.extend_from_slice(&part.data);
            }
            let rows: i64 = parts.iter().filter_map(|p| p.shape.first()).sum();
            let shape = std::iter::once(rows).chain(t.shape.iter().skip(1).copied()).collect();
            Tensor { name: t.name.clone(), datatype: t.datatype, shape, data: data.into() }
        })
        .collect()
}

/// The outputs of each request; `None` if the model did not keep the rows apart after all.
pub(super) fn split(outputs: &[Tensor], rows: &[usize]) -> Option<Vec<Vec<Tensor>>> {
    let total: usize = rows.iter().sum();
    if outputs.iter().any(|t| t.shape.is_empty() || t.rows() != total) {
        return None;
    }
    let mut start = 0;
    let mut answers = Vec::with_capacity(rows.len());
    for n in rows {
        let part = |t: &Tensor| {
            let row = t.data.len().checked_div(total)?;
            let shape = std::iter::once(i64::try_from(*n).ok()?).chain(t.shape.iter().skip(1).copied()).collect();
            let data = t.data.slice(start * row..(start + n) * row);
            Some(Tensor { name: t.name.clone(), datatype: t.datatype, shape, data })
        };
        answers.push(outputs.iter().map(part).collect::<Option<Vec<_>>>()?);
        start += n;
    }
    Some(answers)
}

#[cfg(test)]
mod tests {
    use drydock_contract::Datatype;

    use super::*;

    fn tensor(shape: &[i64], data: &'static [u8]) -> Tensor {
        Tensor { name: "x".into(), datatype: Datatype::Uint8, shape: shape.to_vec(), data: data.into() }
    }

    #[test]
    fn what_is_joined_comes_apart_again() {
        let (a, b) = ([tensor(&[1, 2], &[1, 2])], [tensor(&[2, 2], &[3, 4, 5, 6])]);
        assert!(fits(&a, &b));
        let joined = join(&[&a, &b]);
        assert_eq!(joined, [tensor(&[3, 2], &[1, 2, 3, 4, 5, 6])]);
        assert_eq!(split(&joined, &[1, 2]), Some(vec![a.to_vec(), b.to_vec()]));
    }

    #[test]
    fn what_does_not_fit_is_kept_apart() {
        assert!(!fits(&[tensor(&[1, 2], &[1, 2])], &[tensor(&[1, 3], &[1, 2, 3])]));
        assert_eq!(split(&[tensor(&[1, 2], &[1, 2])], &[1, 1]), None);
        assert_eq!(split(&[tensor(&[], &[1])], &[1]), None);
    }
}
