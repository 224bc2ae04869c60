//! Several encoded images to one tensor, and where a tensor of them may come.

use std::borrow::Cow;

use drydock_contract::Datatype;
use drydock_preprocessing::Placement;

use super::Images;
use crate::budget::Share;
use crate::error::ServeError;
use crate::strings;
use crate::tensor::{self, Tensor};

/// The input that may come as `BYTES`, each element a JPEG, PNG or WebP file: [N] or [N, 1] of them.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub(crate) input: String,
    pub(crate) max_rows: usize,
}

impl Encoded {
    pub(crate) fn is(&self, name: &str, datatype: Datatype) -> bool {
        datatype == Datatype::Bytes && name == self.input
    }

    pub(crate) fn check_shape(&self, shape: &[i64]) -> Result<(), String> {
        // A shape that cannot be at all is told so, as everywhere.
        tensor::byte_size(Datatype::Bytes, shape)?;
        match shape {
            [rows] | [rows, 1] if usize::try_from(*rows).is_ok_and(|rows| rows <= self.max_rows) => Ok(()),
            _ => Err(format!(
                "BYTES of shape {shape:?}; expected [N] or [N, 1] for N encoded images, N at most {}",
                self.max_rows
            )),
        }
    }

    /// Holds the elements against the shape. Whether they are images is found when they are decoded.
    pub(crate) fn check_data(shape: &[i64], data: &[u8]) -> Result<(), String> {
        let found = strings::elements(data).try_fold(0, |n, element| element.map(|_| n + 1))?;
        let expected = tensor::elements(shape).unwrap_or_default();
        if found == expected { Ok(()) } else { Err(format!("data has {found} images; shape {shape:?} has {expected}")) }
    }
}

impl Images {
    /// Where this model may be given encoded images.
    pub(crate) fn encoded(&self, max_rows: usize) -> Encoded {
        Encoded { input: self.input.clone(), max_rows }
    }

    /// The model's input, a row for each image in their order, and where each is in it. `share` holds what that takes.
    pub(crate) fn batch(
        &self,
        encoded: &[impl AsRef<[u8]>],
        share: &mut Share,
    ) -> Result<(Tensor, Vec<Placement>), ServeError> {
        let mut placements = Vec::with_capacity(encoded.len());
        let mut rows: Option<(Tensor, Vec<u8>)> = None;
        for (i, image) in encoded.iter().enumerate() {
            let which = |e| if encoded.len() > 1 { of_image(i, e) } else { e };
            // A list that grows by doubling, and this image.
            let before = rows.as_ref().map_or(0, |(_, data)| 2 * data.len());
            let needed = self.memory(image.as_ref()).map_err(which)?;
            share.hold(before.saturating_add(needed))?;
            let (tensor, placement) = self.tensor(image.as_ref()).map_err(which)?;
            placements.push(placement);
            match &mut rows {
                None if encoded.len() == 1 => return Ok((tensor, placements)),
                None => {
                    let data = tensor.data.to_vec();
                    rows = Some((tensor, data));
                }
                Some((first, data)) if first.shape == tensor.shape => data.extend_from_slice(&tensor.data),
                Some((first, _)) => {
                    let (found, expected) = (&tensor.shape, &first.shape);
                    let wrong =
                        format!("becomes {found:?}; expected {expected:?}, as the first one: one batch has one size");
                    return Err(of_image(i, ServeError::Invalid(wrong)));
                }
            }
        }
        let (first, data) = rows.ok_or_else(|| ServeError::Invalid("no image came; expected one at least".into()))?;
        let all = [&[encoded.len() as i64], first.shape.get(1..).unwrap_or_default()].concat();
        Ok((Tensor { shape: all, data: data.into(), ..first }, placements))
    }
}

/// Which of several is wrong, from 0.
fn of_image(index: usize, e: ServeError) -> ServeError {
    match e {
        ServeError::Invalid(why) => ServeError::Invalid(format!("image {index}: {why}")),
        other => other,
    }
}

/// The rows of an output, each as if it had been asked for alone.
pub(crate) fn rows(output: &Tensor) -> Vec<Cow<'_, Tensor>> {
    let rows = output.rows();
    if rows == 1 {
        return vec![Cow::Borrowed(output)];
    }
    let width = output.data.len().checked_div(rows).unwrap_or_default();
    let shape = [&[1], output.shape.get(1..).unwrap_or_default()].concat();
    let row = |i: usize| Tensor {
        name: output.name.clone(),
        datatype: output.datatype,
        shape: shape.clone(),
        data: output.data.slice(i * width..(i + 1) * width),
    };
    (0..rows).map(|i| Cow::Owned(row(i))).collect()
}
