use crate::decode::MAX_PIXELS;

/// Why a [`Preprocessing`](drydock_contract::Preprocessing) cannot be used with a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreprocessingError {
    #[error("found {found} values of preprocessing.{field}; expected one, or {channels}: one for each channel")]
    Values { field: &'static str, found: usize, channels: usize },
    #[error("found preprocessing that gives infinity or NaN; expected every std over 0 and numbers that are finite")]
    NotFinite,
    #[error(
        "the model's input has shape (N, {found}); expected (N, C, H, W), (N, H, W, C) or (N, H, W) with 1 or 3 channels, as it is to \
         read images"
    )]
    NotImages { found: String },
    #[error("preprocessing.channelOrder is {order}; expected Grey, or none, as the model takes one channel")]
    Order { order: &'static str },
    #[error("preprocessing.resize has {found}; expected shorterSide alone, or both width and height, over 0")]
    Resize { found: &'static str },
    #[error("preprocessing makes images of {found}; expected {expected}, as the model takes (width x height)")]
    Size { found: String, expected: String },
}

/// Why one image cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    #[error("found {found}; expected a JPEG, PNG or WebP image")]
    Format { found: String },
    #[error("cannot decode the {format} image: {problem}")]
    Decode { format: &'static str, problem: String },
    #[error("found an image of {width} x {height} pixels; expected at most {MAX_PIXELS} in all")]
    TooLarge { width: u32, height: u32 },
    #[error(
        "found an image of {found} (width x height); expected {expected}, or preprocessing.resize and crop that make it so"
    )]
    Size { found: String, expected: String },
    #[error(
        "found {found} pixels (width x height) to crop; expected at least {crop}; preprocessing.resize comes first"
    )]
    Crop { found: String, crop: String },
}

pub(crate) fn size(width: impl std::fmt::Display, height: impl std::fmt::Display) -> String {
    format!("{width} x {height}")
}
