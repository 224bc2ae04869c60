//! Which outputs hold what.

use drydock_contract::{Datatype, DetectionLayout, TensorSignature};

use crate::error::DetectionError;

/// Where boxes are, by the names of outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// (N, 4 + C, A)
    ClassesFirst { output: String },
    /// (N, A, 5 + C)
    Objectness { output: String },
    /// (N, K, 6)
    Rows { output: String },
    /// `count`: how many of each image's K are boxes.
    Separate { boxes: String, scores: String, classes: String, count: Option<String> },
}

impl Layout {
    /// `labels`: how many there are; 0: it is not known.
    pub(crate) fn of(
        declared: Option<DetectionLayout>,
        outputs: &[TensorSignature],
        labels: usize,
    ) -> Result<Self, DetectionError> {
        let found = || describe(outputs);
        let wrong = |layout, expected| DetectionError::Layout { found: found(), expected, layout };
        let first = outputs.first().filter(|o| is_rows(o));
        let one = |layout, expected| first.map(|o| o.name.clone()).ok_or_else(|| wrong(layout, expected));
        match declared {
            Some(DetectionLayout::YoloV8) => {
                Ok(Self::ClassesFirst { output: one("YoloV8", "a first output of FP32 (N, 4 + C, A)")? })
            }
            Some(DetectionLayout::YoloV5) => {
                Ok(Self::Objectness { output: one("YoloV5", "a first output of FP32 (N, A, 5 + C)")? })
            }
            Some(DetectionLayout::Boxes) => {
                let rows = first.filter(|o| fits(o.shape[2], 6)).map(|o| Self::Rows { output: o.name.clone() });
                let expected = "boxes, scores and classes, or one of FP32 (N, K, 6)";
                separate(outputs).or(rows).ok_or_else(|| wrong("Boxes", expected))
            }
            None => Self::told(outputs, labels, first),
        }
    }

    fn told(
        outputs: &[TensorSignature],
        labels: usize,
        first: Option<&TensorSignature>,
    ) -> Result<Self, DetectionError> {
        if let Some(separate) = separate(outputs) {
            return Ok(separate);
        }
        let not = || DetectionError::NotDetector { found: describe(outputs) };
        let first = first.ok_or_else(not)?;
        let (output, second, third) = (first.name.clone(), first.shape[1], first.shape[2]);
        let classes = labels as i64;
        let (is_v8, is_v5, is_rows) = match labels {
            // Of anchors there are more than of classes.
            0 => (4 < second && second < third, 5 < third && third < second, third == 6),
            _ => (second == 4 + classes, third == 5 + classes, third == 6),
        };
        match (is_v8, is_v5, is_rows) {
            (true, false, false) => Ok(Self::ClassesFirst { output }),
            (false, true, false) => Ok(Self::Objectness { output }),
            (false, false, true) if labels > 0 => Ok(Self::Rows { output }),
            (false, false, false) if second > 0 && third > 0 => Err(not()),
            _ => Err(DetectionError::Ambiguous { found: describe(outputs) }),
        }
    }

    pub(crate) fn outputs(&self) -> Vec<&str> {
        match self {
            Self::ClassesFirst { output } | Self::Objectness { output } | Self::Rows { output } => vec![output],
            Self::Separate { boxes, scores, classes, count } => {
                [boxes, scores, classes].into_iter().chain(count).map(String::as_str).collect()
            }
        }
    }
}

fn is_rows(output: &TensorSignature) -> bool {
    output.datatype == Datatype::Fp32 && output.shape.len() == 3
}

fn fits(dimension: i64, expected: i64) -> bool {
    dimension < 0 || dimension == expected
}

/// By their names, or else where shapes and datatypes leave no choice.
fn separate(outputs: &[TensorSignature]) -> Option<Layout> {
    let is_boxes = |o: &TensorSignature| {
        o.datatype == Datatype::Fp32
            && matches!(o.shape.as_slice(), [.., last] if (2..=3).contains(&o.shape.len()) && fits(*last, 4))
    };
    let only = |found: Vec<&TensorSignature>| if let [one] = found.as_slice() { Some(one.name.clone()) } else { None };
    let named = |parts: &[&str]| {
        let has = |o: &&TensorSignature| parts.iter().any(|p| o.name.to_lowercase().contains(p));
        outputs.iter().filter(has).collect::<Vec<_>>()
    };
    let count = only(named(&["num"]));
    let rest: Vec<&TensorSignature> = outputs.iter().filter(|o| Some(&o.name) != count.as_ref()).collect();
    let boxes =
        only(rest.iter().copied().filter(|o| is_boxes(o) && o.name.to_lowercase().contains("box")).collect())
            .or_else(|| only(rest.iter().copied().filter(|o| is_boxes(o) && o.shape.last() == Some(&4)).collect()))?;
    let rank = outputs.iter().find(|o| o.name == boxes)?.shape.len();
    let beside: Vec<&TensorSignature> =
        rest.into_iter().filter(|o| o.name != boxes && o.shape.len() + 1 == rank).collect();
    let is_whole = |o: &&TensorSignature| matches!(o.datatype, Datatype::Int32 | Datatype::Int64);
    let among =
        |parts: &[&str]| only(named(parts).into_iter().filter(|o| beside.iter().any(|b| b.name == o.name)).collect());
    let classes =
        among(&["label", "class", "cls"]).or_else(|| only(beside.iter().copied().filter(is_whole).collect()))?;
    let scores = among(&["score", "conf"])
        .or_else(|| only(beside.iter().copied().filter(|o| !is_whole(o) && o.name != classes).collect()))?;
    (scores != classes).then_some(Layout::Separate { boxes, scores, classes, count })
}

fn describe(outputs: &[TensorSignature]) -> String {
    let output = |o: &TensorSignature| {
        let dims: Vec<String> = o.shape.iter().map(|d| if *d < 0 { "?".into() } else { d.to_string() }).collect();
        format!("{} {} ({})", o.name, o.datatype, dims.join(", "))
    };
    outputs.iter().map(output).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(outputs: &[(&str, Datatype, &[i64])]) -> Vec<TensorSignature> {
        let one = |(name, datatype, shape): &(&str, Datatype, &[i64])| TensorSignature {
            name: (*name).into(),
            datatype: *datatype,
            shape: shape.to_vec(),
        };
        outputs.iter().map(one).collect()
    }

    fn told(outputs: &[(&str, Datatype, &[i64])], labels: usize) -> Result<Layout, DetectionError> {
        Layout::of(None, &signature(outputs), labels)
    }

    use Datatype::{Fp32, Int32, Int64};

    #[test]
    fn told_by_shape() {
        let y = || "y".to_owned();
        for (shape, labels, expected) in [
            (&[1, 84, 8400][..], 80, Layout::ClassesFirst { output: y() }),
            (&[-1, 84, -1], 80, Layout::ClassesFirst { output: y() }),
            (&[1, 84, 8400], 0, Layout::ClassesFirst { output: y() }),
            (&[1, 25200, 85], 80, Layout::Objectness { output: y() }),
            (&[-1, -1, 85], 80, Layout::Objectness { output: y() }),
            (&[1, 25200, 85], 0, Layout::Objectness { output: y() }),
            (&[1, 300, 6], 80, Layout::Rows { output: y() }),
        ] {
            assert_eq!(told(&[("y", Fp32, shape)], labels), Ok(expected), "{shape:?} {labels}");
        }
        for (shape, labels) in [
            (&[1, 300, 6][..], 1),
            (&[1, 300, 6], 0),
            (&[1, -1, -1], 0),
            (&[1, -1, -1], 80),
            (&[1, 85, 85], 0),
            (&[1, 6, 7], 2),
        ] {
            let error = told(&[("y", Fp32, shape)], labels).unwrap_err();
            let ambiguous = matches!(error, DetectionError::Ambiguous { .. } | DetectionError::NotDetector { .. });
            assert!(ambiguous, "{shape:?} {labels}: {error}");
        }
        for outputs in
            [&[("y", Fp32, &[1, 10][..])][..], &[("y", Fp32, &[1, 84, 8400])], &[("y", Int64, &[1, 84, 84])], &[]]
        {
            let error = told(outputs, 10).unwrap_err();
            assert!(matches!(error, DetectionError::NotDetector { .. }), "{outputs:?}: {error}");
        }
    }

    #[test]
    fn told_by_names_and_datatypes() {
        let separate = |boxes: &str, scores: &str, classes: &str, count: Option<&str>| Layout::Separate {
            boxes: boxes.into(),
            scores: scores.into(),
            classes: classes.into(),
            count: count.map(str::to_owned),
        };
        for (outputs, expected) in [
            (
                // torchvision
                &[("boxes", Fp32, &[-1, 4][..]), ("labels", Int64, &[-1]), ("scores", Fp32, &[-1])][..],
                separate("boxes", "scores", "labels", None),
            ),
            (
                // EfficientNMS
                &[
                    ("num_dets", Int32, &[1, 1]),
                    ("det_boxes", Fp32, &[1, 100, 4]),
                    ("det_scores", Fp32, &[1, 100]),
                    ("det_classes", Int32, &[1, 100]),
                ],
                separate("det_boxes", "det_scores", "det_classes", Some("num_dets")),
            ),
            (
                &[("6379", Fp32, &[-1, 4]), ("6381", Int64, &[-1]), ("6383", Fp32, &[-1])],
                separate("6379", "6383", "6381", None),
            ),
        ] {
            assert_eq!(told(outputs, 0), Ok(expected), "{outputs:?}");
        }
        // Which of two is the scores, nothing tells.
        assert!(told(&[("a", Fp32, &[-1, 4]), ("b", Fp32, &[-1]), ("c", Fp32, &[-1])], 0).is_err());
    }

    #[test]
    fn what_is_declared_is_held_against_the_outputs() {
        let outputs = signature(&[("y", Fp32, &[1, 300, 6])]);
        let of = |layout, outputs: &[TensorSignature]| Layout::of(Some(layout), outputs, 1);
        assert_eq!(of(DetectionLayout::Boxes, &outputs), Ok(Layout::Rows { output: "y".into() }));
        assert_eq!(of(DetectionLayout::YoloV5, &outputs), Ok(Layout::Objectness { output: "y".into() }));
        let logits = signature(&[("logits", Fp32, &[-1, 10])]);
        for layout in [DetectionLayout::YoloV8, DetectionLayout::YoloV5, DetectionLayout::Boxes] {
            let error = of(layout, &logits).unwrap_err().to_string();
            assert!(error.contains("logits FP32 (?, 10)") && error.contains(&format!("{layout:?}")), "{error}");
        }
    }
}
