//! Boxes in the place of a detector's outputs.

use drydock_contract::{Datatype, PackageContent};
use drydock_detection::{Array, Bounds, Decoder, Detected, DetectionError};
use drydock_preprocessing::Placement;
use serde::{Deserialize, Serialize};

use crate::tensor::{Decision, Tensor};

/// Intersection over union from which on two boxes are of one object.
const SAME: f64 = 0.5;

/// Reads the boxes of one model.
#[derive(Clone, Debug)]
pub(crate) struct Detector {
    decoder: Decoder,
}

/// One object, for a person.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Object<'a> {
    #[serde(rename = "class")]
    pub(crate) index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<&'a str>,
    pub(crate) score: f32,
    /// Left, top, right, bottom, in pixels of the image as it came.
    #[serde(rename = "box")]
    pub(crate) edges: [f32; 4],
}

/// What is compared of a canary's answer.
#[derive(Debug, Deserialize)]
struct Answered {
    boxes: AnsweredBoxes,
}

/// An image has a list of objects, a form of images a list of those.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum AnsweredBoxes {
    OfOne(Vec<AnsweredObject>),
    OfEach(Vec<Vec<AnsweredObject>>),
}

#[derive(Debug, Deserialize)]
struct AnsweredObject {
    class: usize,
    #[serde(rename = "box")]
    edges: [f64; 4],
}

impl Detector {
    /// `None`: the model is no detector.
    ///
    /// # Errors
    /// Its outputs are not those that its package says.
    pub(crate) fn of(content: &PackageContent) -> Result<Option<Self>, DetectionError> {
        let decoder = |d| Decoder::new(d, &content.outputs, content.labels.len());
        Ok(content.detection.as_ref().map(decoder).transpose()?.map(|decoder| Self { decoder }))
    }

    /// The objects in each image, the surest first, `top` of each at most.
    pub(crate) fn objects<'a>(
        &self,
        outputs: &[Tensor],
        placements: &[Placement],
        labels: &'a [String],
        top: Option<usize>,
    ) -> Result<Vec<Vec<Object<'a>>>, DetectionError> {
        let object = |found: Detected, placement: &Placement| Object {
            index: found.class,
            label: labels.get(found.class).map(String::as_str),
            score: found.score,
            edges: placement.to_image(found.bounds.edges()).map(|edge| edge as f32),
        };
        let of_image = |(found, placement): (Vec<Detected>, &Placement)| {
            found.into_iter().take(top.unwrap_or(usize::MAX)).map(|found| object(found, placement)).collect()
        };
        Ok(self.boxes(outputs)?.into_iter().zip(placements).map(of_image).collect())
    }

    /// What an answer of boxes decides, for each image; `None` if it is none.
    pub(crate) fn answered(body: &[u8]) -> Option<Vec<Decision>> {
        let Answered { boxes } = serde_json::from_slice(body).ok()?;
        let images = match boxes {
            AnsweredBoxes::OfOne(objects) => vec![objects],
            AnsweredBoxes::OfEach(images) => images,
        };
        let object = |b: AnsweredObject| (b.class, Bounds::of_edges(b.edges));
        let objects = |image: Vec<AnsweredObject>| Objects(image.into_iter().map(object).collect());
        Some(images.into_iter().map(objects).map(Decision::Objects).collect())
    }

    /// What outputs decide, for each image; `None` if those that hold the boxes are not among them.
    pub(crate) fn decisions(&self, outputs: &[Tensor]) -> Option<Vec<Decision>> {
        let objects = |found: Vec<Detected>| Objects(found.into_iter().map(|d| (d.class, d.bounds)).collect());
        Some(self.boxes(outputs).ok()?.into_iter().map(objects).map(Decision::Objects).collect())
    }

    fn boxes(&self, outputs: &[Tensor]) -> Result<Vec<Vec<Detected>>, DetectionError> {
        let values = |name: &str| {
            let absent = || DetectionError::Absent { output: name.to_owned() };
            let tensor = outputs.iter().find(|t| t.name == name).ok_or_else(absent)?;
            Ok((tensor.shape.as_slice(), floats(tensor).ok_or_else(absent)?))
        };
        let read = self.decoder.outputs().into_iter().map(values).collect::<Result<Vec<_>, DetectionError>>()?;
        let arrays: Vec<Array<'_>> = read.iter().map(|(shape, values)| Array { shape, values }).collect();
        self.decoder.decode(&arrays, self.decoder.score_threshold(), self.decoder.most())
    }
}

/// `None`: strings.
fn floats(tensor: &Tensor) -> Option<Vec<f32>> {
    if tensor.datatype == Datatype::Fp32 {
        return Some(tensor.data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect());
    }
    Some(tensor.values()?.into_iter().map(|v| v as f32).collect())
}

/// Objects in an image. Two lists are equal where at least half of what is in both pairs off, by class and place: scores near
/// the threshold come and go, and say nothing of a model that is broken.
#[derive(Clone, Debug)]
pub(crate) struct Objects(Vec<(usize, Bounds)>);

impl PartialEq for Objects {
    fn eq(&self, other: &Self) -> bool {
        let mut left: Vec<&(usize, Bounds)> = other.0.iter().collect();
        let mut pairs = 0;
        for (class, bounds) in &self.0 {
            let same = left.iter().position(|(other, place)| other == class && place.iou(*bounds) >= SAME);
            if let Some(at) = same {
                left.swap_remove(at);
                pairs += 1;
            }
        }
        4 * pairs >= self.0.len() + other.0.len()
    }
}

impl Eq for Objects {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_objects_is_agreement() {
        let objects = |of: &[(usize, f64)]| {
            Objects(
                of.iter().map(|(class, left)| (*class, Bounds::of_edges([*left, 0.0, left + 10.0, 10.0]))).collect(),
            )
        };
        for (a, b, agree) in [
            (&[][..], &[][..], true),
            (&[(0, 0.0)], &[], false),
            (&[(0, 0.0)], &[(0, 2.0)], true),
            (&[(0, 0.0)], &[(1, 0.0)], false),
            (&[(0, 0.0)], &[(0, 9.0)], false),
            (&[(0, 0.0)], &[(0, 0.0), (0, 20.0)], true),
            (&[(0, 0.0)], &[(0, 0.0), (0, 20.0), (0, 40.0)], true),
            (&[(0, 0.0)], &[(0, 0.0), (0, 20.0), (0, 40.0), (0, 60.0)], false),
            // One object is not two.
            (&[(0, 0.0), (0, 1.0), (0, 2.0)], &[(0, 0.0), (1, 20.0)], false),
        ] {
            assert_eq!(objects(a) == objects(b), agree, "{a:?} {b:?}");
            assert_eq!(objects(b) == objects(a), agree, "{b:?} {a:?}");
        }
    }

    #[test]
    fn an_answer_of_boxes_is_read_again() {
        let object = Object { index: 2, label: Some("cat"), score: 0.5, edges: [1.0, 2.0, 3.0, 4.5] };
        let body = serde_json::json!({"outputs": [], "boxes": [object]}).to_string();
        assert!(body.contains(r#""box":[1.0,2.0,3.0,4.5]"#) && body.contains(r#""label":"cat""#), "{body}");
        let expected = vec![Decision::Objects(Objects(vec![(2, Bounds::of_edges([1.0, 2.0, 3.0, 4.5]))]))];
        assert_eq!(Detector::answered(body.as_bytes()), Some(expected.clone()));
        let none = Decision::Objects(Objects(vec![]));
        assert_eq!(Detector::answered(br#"{"outputs": [], "boxes": []}"#), Some(vec![none.clone()]));
        // A form of images, nothing in the first.
        let object = Object { index: 2, label: None, score: 0.5, edges: [1.0, 2.0, 3.0, 4.5] };
        let body = serde_json::json!({"outputs": [], "boxes": [[], [object]]}).to_string();
        assert_eq!(Detector::answered(body.as_bytes()), Some([vec![none], expected].concat()));
        assert_eq!(Detector::answered(br#"{"outputs": []}"#), None);
    }
}
