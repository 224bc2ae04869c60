use clap::{Args, ValueEnum};
use drydock_contract::{Detection, DetectionLayout};

/// `model.detection` of a ModelDeployment, on the command line.
#[derive(Debug, Args)]
pub(crate) struct DetectionArgs {
    /// The model is a detector: accuracy is the mean average precision of its boxes
    #[arg(long)]
    detector: bool,
    /// How boxes lie in the outputs, where their shapes do not tell
    #[arg(long, value_enum, requires = "detector")]
    layout: Option<LayoutArg>,
    /// Boxes with a lower score are not answered
    #[arg(long, default_value_t = Detection::default().score_threshold, value_parser = share, requires = "detector")]
    score_threshold: f64,
    /// Of two boxes of a class with a larger intersection over union one is dropped
    #[arg(long, default_value_t = Detection::default().iou_threshold, value_parser = share, requires = "detector")]
    iou_threshold: f64,
    /// Boxes of one image, at most
    #[arg(long, default_value_t = Detection::default().max_detections, value_parser = clap::value_parser!(u32).range(1..=1000), requires = "detector")]
    max_detections: u32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LayoutArg {
    YoloV8,
    YoloV5,
    Boxes,
}

fn share(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|v| (0.0..=1.0).contains(v)).ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

impl DetectionArgs {
    /// `None`: the model is no detector.
    pub(crate) fn detection(&self) -> Option<Detection> {
        let layout = self.layout.map(|layout| match layout {
            LayoutArg::YoloV8 => DetectionLayout::YoloV8,
            LayoutArg::YoloV5 => DetectionLayout::YoloV5,
            LayoutArg::Boxes => DetectionLayout::Boxes,
        });
        let Self { score_threshold, iou_threshold, max_detections, .. } = *self;
        self.detector.then_some(Detection { layout, score_threshold, iou_threshold, max_detections })
    }
}
