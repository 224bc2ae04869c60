//! Images in the place of tensors, and answers that a person can read.

mod batch;

use bytes::Bytes;
use drydock_contract::{Datatype, PackageContent};
use drydock_preprocessing::{self as preprocessing, Placement};
use serde::Serialize;

use crate::error::ServeError;
use crate::tensor::Tensor;
pub(crate) use batch::{Encoded, rows};

/// Classes of an answer where nobody says how many.
const TOP: usize = 5;

/// Whether these are the first bytes of a JPEG, PNG or WebP file. No JSON begins like any of them.
pub(crate) fn is_image(body: &[u8]) -> bool {
    body.starts_with(b"\xFF\xD8\xFF")
        || body.starts_with(b"\x89PNG\r\n\x1A\n")
        || body.starts_with(b"RIFF") && body.get(8..12) == Some(b"WEBP")
}

/// How the model's input is made from an image, as its package says.
#[derive(Clone, Debug)]
pub(crate) struct Images {
    input: String,
    made: preprocessing::Images,
}

impl Images {
    /// Why it takes none, for those who send one.
    pub(crate) fn of(content: &PackageContent) -> Result<Self, String> {
        let [input] = content.inputs.as_slice() else {
            return Err(format!("the model has {} inputs; images need a model with one", content.inputs.len()));
        };
        let ([_, item @ ..], Datatype::Fp32) = (input.shape.as_slice(), input.datatype) else {
            return Err(format!(
                "the model's input {:?} is {} {:?}; images need FP32 (N, C, H, W)",
                input.name, input.datatype, input.shape
            ));
        };
        let made = preprocessing::Images::new(&content.preprocessing, item).map_err(|e| e.to_string())?;
        Ok(Self { input: input.name.clone(), made })
    }

    /// Bytes that decoding takes at most.
    pub(crate) fn memory(&self, encoded: &[u8]) -> Result<usize, ServeError> {
        self.made.memory(encoded).map_err(|e| invalid(&e))
    }

    /// The model's input, one row, and where the image is in it.
    pub(crate) fn tensor(&self, encoded: &[u8]) -> Result<(Tensor, Placement), ServeError> {
        let preprocessing::Tensor { mut shape, data, placement } =
            self.made.tensor(encoded).map_err(|e| invalid(&e))?;
        shape.insert(0, 1);
        let data = Bytes::from_owner(Floats(data));
        Ok((Tensor { name: self.input.clone(), datatype: Datatype::Fp32, shape, data }, placement))
    }
}

fn invalid(e: &preprocessing::ImageError) -> ServeError {
    ServeError::Invalid(e.to_string())
}

/// What x86 and Arm have in memory is what goes to the engine: little-endian.
struct Floats(Vec<f32>);

impl AsRef<[u8]> for Floats {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

/// One class, for a person.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Class<'a> {
    #[serde(rename = "class")]
    pub(crate) index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<&'a str>,
    /// Of all classes together 1.
    pub(crate) probability: f32,
}

/// The likeliest classes of the first output; `None` if that is no classifier's: (1, classes) of floats.
pub(crate) fn top<'a>(output: &Tensor, labels: &'a [String], count: Option<usize>) -> Option<Vec<Class<'a>>> {
    let ([1, _], Datatype::Fp32) = (output.shape.as_slice(), output.datatype) else { return None };
    let scores: Vec<f32> = output.data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let probabilities = probabilities(&scores)?;
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]).then(a.cmp(b)));
    let label = |class: usize| Class {
        index: class,
        label: labels.get(class).map(String::as_str),
        probability: probabilities[class],
    };
    Some(order.into_iter().take(count.unwrap_or(TOP)).map(label).collect())
}

/// The scores, if they are probabilities already; else their softmax.
fn probabilities(scores: &[f32]) -> Option<Vec<f32>> {
    let largest = scores.iter().copied().reduce(f32::max).filter(|_| scores.iter().all(|s| s.is_finite()))?;
    let sum: f32 = scores.iter().sum();
    if scores.iter().all(|s| (0.0..=1.0).contains(s)) && (sum - 1.0).abs() < 1e-3 {
        return Some(scores.to_vec());
    }
    let powers: Vec<f32> = scores.iter().map(|s| (s - largest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    Some(powers.into_iter().map(|p| p / sum).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(values: &[f32]) -> Tensor {
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Tensor { name: "y".into(), datatype: Datatype::Fp32, shape: vec![1, values.len() as i64], data: data.into() }
    }

    #[test]
    fn first_bytes() {
        for (body, image) in [
            (&b"\xFF\xD8\xFF\xE0"[..], true),
            (b"\x89PNG\r\n\x1A\n....", true),
            (b"RIFF\x10\0\0\0WEBPVP8 ", true),
            (b"RIFF\x10\0\0\0WAVE", false),
            (b"{\"inputs\": []}", false),
            (b"", false),
        ] {
            assert_eq!(is_image(body), image, "{body:?}");
        }
    }

    #[test]
    fn the_likeliest_first() {
        let labels = ["cat".to_owned(), "dog".to_owned()];
        let found = top(&scores(&[0.25, 0.75]), &labels, None).unwrap();
        assert_eq!(found[0], Class { index: 1, label: Some("dog"), probability: 0.75 });
        assert_eq!(found.len(), 2);

        let found = top(&scores(&[0.0, 1000.0, 999.0]), &labels, Some(2)).unwrap();
        assert_eq!((found[0].index, found[1].index, found[1].label), (1, 2, None));
        assert!((found[0].probability - 0.731).abs() < 1e-3, "{found:?}");

        for none in [scores(&[f32::NAN, 1.0]), Tensor { shape: vec![2, 1], ..scores(&[0.0, 0.0]) }] {
            assert!(top(&none, &labels, None).is_none());
        }
    }
}
