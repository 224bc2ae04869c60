use clap::{Args, ValueEnum};
use drydock_contract::{ChannelOrder, Crop, Filter, Preprocessing, Resize};

/// `model.preprocessing` of a ModelDeployment, on the command line.
#[derive(Debug, Args)]
pub(crate) struct PreprocessingArgs {
    /// Multiplies each raw value before the mean is taken off
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    #[arg(long, value_delimiter = ',', allow_negative_numbers = true)]
    mean: Vec<f64>,
    #[arg(long, value_delimiter = ',')]
    std: Vec<f64>,
    /// Of images: pixels of the shorter side, or WIDTHxHEIGHT
    #[arg(long, value_parser = length)]
    resize: Option<Length>,
    #[arg(long, value_enum, default_value_t, requires = "resize")]
    filter: FilterArg,
    /// Of images: keep the aspect ratio within WIDTHxHEIGHT, and fill the rest with this value (114 for YOLO)
    #[arg(long, requires = "resize")]
    letterbox: Option<u8>,
    /// Of images: the part from the centre that is kept, WIDTHxHEIGHT, or one number for both
    #[arg(long, value_parser = length)]
    crop: Option<Length>,
    /// Of images: what the model's channels are
    #[arg(long, value_enum)]
    channel_order: Option<OrderArg>,
}

#[derive(Clone, Copy, Debug)]
enum Length {
    One(u32),
    Both(u32, u32),
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum FilterArg {
    #[default]
    Bilinear,
    Bicubic,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OrderArg {
    Rgb,
    Bgr,
    Grey,
}

fn length(text: &str) -> Result<Length, String> {
    let pixels = |t: &str| t.parse().ok().filter(|n| (1..=8192).contains(n));
    let length = match text.split_once('x') {
        None => pixels(text).map(Length::One),
        Some((width, height)) => pixels(width).zip(pixels(height)).map(|(w, h)| Length::Both(w, h)),
    };
    length.ok_or_else(|| "expected pixels, 1 to 8192, as 256 or 224x224".to_owned())
}

impl PreprocessingArgs {
    fn exact(&self, width: u32, height: u32, filter: Filter) -> Resize {
        Resize { width: Some(width), height: Some(height), filter, letterbox: self.letterbox, shorter_side: None }
    }

    pub(crate) fn preprocessing(&self) -> Preprocessing {
        let filter = match self.filter {
            FilterArg::Bilinear => Filter::Bilinear,
            FilterArg::Bicubic => Filter::Bicubic,
        };
        let resize = self.resize.map(|length| match length {
            // Of a letterbox one number is both.
            Length::One(side) if self.letterbox.is_none() => {
                Resize { shorter_side: Some(side), filter, ..Resize::default() }
            }
            Length::One(side) => self.exact(side, side, filter),
            Length::Both(width, height) => self.exact(width, height, filter),
        });
        let crop = self.crop.map(|length| match length {
            Length::One(side) => Crop { width: side, height: side },
            Length::Both(width, height) => Crop { width, height },
        });
        let channel_order = self.channel_order.map(|order| match order {
            OrderArg::Rgb => ChannelOrder::Rgb,
            OrderArg::Bgr => ChannelOrder::Bgr,
            OrderArg::Grey => ChannelOrder::Grey,
        });
        Preprocessing { scale: self.scale, mean: self.mean.clone(), std: self.std.clone(), resize, crop, channel_order }
    }
}
