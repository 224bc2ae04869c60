#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The model is a detector: how boxes are read from its outputs. The index of a class is that of `labels`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Detection {
    /// How boxes lie in the outputs. Without it the shapes, datatypes and names of the outputs tell, together with `labels`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<DetectionLayout>,
    /// Boxes with a lower score are not answered. Mean average precision is taken over all scores from 0.001 on.
    #[serde(default = "score_threshold")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1)))]
    pub score_threshold: f64,
    /// Of two boxes of one class with a larger intersection over union the one with the lower score is dropped (non-maximum
    /// suppression). Not used with the layout `Boxes`.
    #[serde(default = "iou_threshold")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1)))]
    pub iou_threshold: f64,
    /// Boxes of one image at most, those with the highest scores.
    #[serde(default = "max_detections")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1000)))]
    pub max_detections: u32,
}

/// N images, A anchors, C classes, K boxes. Boxes are in pixels of the model's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum DetectionLayout {
    /// One output of shape (N, 4 + C, A): centre x, centre y, width, height, then a score for each class.
    YoloV8,
    /// One output of shape (N, A, 5 + C), of YOLOv5 and YOLOX: centre x, centre y, width, height, objectness, then a score for
    /// each class. The score of a box is the product of the two.
    YoloV5,
    /// After non-maximum suppression: boxes (N, K, 4) as left, top, right, bottom, scores (N, K) and classes (N, K), or the same
    /// without N of a model of one image; or one output (N, K, 6) of left, top, right, bottom, score, class.
    Boxes,
}

impl Default for Detection {
    fn default() -> Self {
        Self {
            layout: None,
            score_threshold: score_threshold(),
            iou_threshold: iou_threshold(),
            max_detections: max_detections(),
        }
    }
}

fn score_threshold() -> f64 {
    0.25
}

fn iou_threshold() -> f64 {
    0.45
}

fn max_detections() -> u32 {
    100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_has_a_default() {
        assert_eq!(serde_json::from_str::<Detection>("{}").unwrap(), Detection::default());
        let text = r#"{"layout":"YoloV5","scoreThreshold":0.5,"iouThreshold":0.7,"maxDetections":300}"#;
        let read: Detection = serde_json::from_str(text).unwrap();
        assert_eq!((read.layout, read.max_detections), (Some(DetectionLayout::YoloV5), 300));
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
