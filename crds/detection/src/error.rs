/// Why boxes cannot be read from a model's outputs.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DetectionError {
    #[error(
        "the model's outputs are {found}; expected those of a detector: (N, 4 + C, A), (N, A, 5 + C), (N, K, 6), or boxes, scores and \
         classes, with C the number of labels"
    )]
    NotDetector { found: String },
    #[error("the model's outputs, {found}, can be read in more than one way; expected detection.layout or all labels")]
    Ambiguous { found: String },
    #[error("the model's outputs are {found}; expected {expected}, as detection.layout is {layout}")]
    Layout { found: String, expected: &'static str, layout: &'static str },
    #[error("output {output:?} is for {found} classes; expected {labels}, the number of labels")]
    Classes { output: String, found: i64, labels: usize },
    #[error("output {output:?} has shape {found:?}; expected {expected}")]
    Shape { output: String, found: Vec<i64>, expected: String },
    #[error("output {output:?} has a box of class {class}; expected one below {classes}{}", if *.labels { ", the number of labels" } else { "" })]
    ClassOf { output: String, class: usize, classes: usize, labels: bool },
    #[error(
        "output {output:?} has a score of {score}; expected 0 to 1, sigmoid applied: outputs of segmentation, of poses or with columns in \
         another order cannot be read"
    )]
    Score { output: String, score: f32 },
    #[error("output {output:?} is absent")]
    Absent { output: String },
}
