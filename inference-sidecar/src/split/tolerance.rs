//! Whether two models' numbers are near enough to one another.

use std::collections::BTreeMap;

use drydock_contract::Tolerance;

use crate::tensor::Tensor;

/// Of the outputs that have a tolerance, and that the stable model has answered with in numbers; `None` if those are none. What the
/// canary leaves out, or gives in another shape, differs.
pub(super) fn agree(
    tolerance: &BTreeMap<String, Tolerance>,
    canarys: Option<&[Tensor]>,
    stables: &[Tensor],
) -> Option<bool> {
    let mut compared = stables.iter().filter_map(|t| Some((t, t.values()?, tolerance.get(&t.name)?))).peekable();
    compared.peek()?;
    Some(compared.all(|(stable, numbers, tolerance)| {
        let canary = canarys.and_then(|all| all.iter().find(|t| t.name == stable.name && t.shape == stable.shape));
        let found = canary.and_then(Tensor::values);
        found.is_some_and(|found| {
            found.len() == numbers.len() && found.iter().zip(numbers).all(|(c, s)| tolerance.holds(*c, s))
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use drydock_contract::Datatype;

    fn tensor(name: &str, values: &[f32]) -> Tensor {
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let shape = vec![1, i64::try_from(values.len()).unwrap()];
        Tensor { name: name.into(), datatype: Datatype::Fp32, shape, data: data.into() }
    }

    #[test]
    fn each_number_of_each_output_that_is_named() {
        let tolerance: BTreeMap<_, _> = [
            ("price".to_owned(), Tolerance { absolute: 0.0, relative: 0.1 }),
            ("risk".to_owned(), Tolerance { absolute: 0.5, relative: 0.0 }),
        ]
        .into();
        let stables = [tensor("price", &[100.0, 10.0]), tensor("risk", &[1.0]), tensor("embedding", &[3.0])];
        let of =
            |price: &[f32], risk: &[f32]| [tensor("risk", risk), tensor("price", price), tensor("embedding", &[9.0])];
        for (canarys, agree_) in [
            (of(&[109.0, 9.5], &[1.4]), true),
            (of(&[109.0, 8.5], &[1.4]), false),
            (of(&[100.0, 10.0], &[1.6]), false),
            (of(&[100.0], &[1.0]), false),
            (of(&[f32::NAN, 10.0], &[1.0]), false),
        ] {
            assert_eq!(agree(&tolerance, Some(&canarys), &stables), Some(agree_), "{canarys:?}");
        }
        assert_eq!(agree(&tolerance, Some(&stables[..1]), &stables), Some(false), "it has left one out");
        assert_eq!(agree(&tolerance, Some(&stables[..1]), &stables[..1]), Some(true), "nobody has asked for the other");
        assert_eq!(agree(&tolerance, None, &stables), Some(false), "it cannot be read");
        assert_eq!(agree(&tolerance, Some(&stables), &stables[2..]), None);
    }
}
