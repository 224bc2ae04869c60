#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How raw data becomes the model's input. An image is decoded, resized and cropped; then each value of channel `c` becomes
/// `(value * scale - mean[c]) / std[c]`. Arrays come at the model's size: only the last step is done to them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Preprocessing {
    /// Multiplies each raw value first; 1/255 (0.00392156862745098) for 8-bit images. Default 1.
    #[serde(default = "one")]
    pub scale: f64,
    /// One value for each channel, or one for all. Default 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 16)))]
    pub mean: Vec<f64>,
    /// One value for each channel, or one for all. Default 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 16)))]
    pub std: Vec<f64>,
    // What is absent is not written: the digest of a package covers this, and those of older packages must stay.
    /// Of images: to which size, before `crop`. Without it they keep their size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<Resize>,
    /// Of images: the part from the centre that is kept. Without it all of it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<Crop>,
    /// Of images. Default: RGB where the model takes three channels, Grey where it takes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_order: Option<ChannelOrder>,
}

/// `shorterSide`, which keeps the aspect ratio, or both `width` and `height`, which `letterbox` makes keep it. Pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Resize {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 8192)))]
    pub shorter_side: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 8192)))]
    pub width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 8192)))]
    pub height: Option<u32>,
    #[serde(default)]
    pub filter: Filter,
    /// Letterbox: the image keeps its aspect ratio within `width` and `height`, in the middle, and this value of every channel fills
    /// what is left. 114 for the YOLO family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub letterbox: Option<u8>,
}

/// How pixels are weighted when an image is resized, as in Pillow: what is made smaller is smoothed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum Filter {
    #[default]
    Bilinear,
    Bicubic,
}

/// Pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Crop {
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 8192)))]
    pub width: u32,
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 8192)))]
    pub height: u32,
}

/// What the model's channels are. `mean` and `std` are in this order too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum ChannelOrder {
    #[serde(rename = "RGB")]
    Rgb,
    #[serde(rename = "BGR")]
    Bgr,
    /// Luma (ITU-R 601); the same three times where the model takes three channels.
    Grey,
}

fn one() -> f64 {
    1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest of a package is one of JSON: what older manifests say must be written as it always was.
    #[test]
    fn what_is_absent_is_not_written() {
        let text = r#"{"scale":0.5,"mean":[0.25]}"#;
        let read: Preprocessing = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);

        let text = r#"{"scale":1.0,"resize":{"shorterSide":256,"filter":"Bicubic"},"crop":{"width":224,"height":224},"channelOrder":"BGR"}"#;
        let read: Preprocessing = serde_json::from_str(text).unwrap();
        assert_eq!(read.resize.unwrap().shorter_side, Some(256));
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
