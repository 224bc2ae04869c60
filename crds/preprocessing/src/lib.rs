//! From an encoded image, or an array of raw values, to a model's input, as a [`Preprocessing`] says.
//!
//! ```text
//!  JPEG, PNG, WebP ─▶ decode ─▶ resize ─▶ crop ─▶ scale, mean, std ─▶ f32, NCHW or NHWC
//!  raw values ──────────────────────────────────▶ scale, mean, std ─▶ f32
//! ```
//!
//! The rules are Pillow's: `Image.open(f).convert("RGB")` (or `"L"`), which drops transparency and does not turn the image as its
//! EXIF orientation says, then `resize`, filled up to a letterbox where one
//! is asked for, and a crop of the centre as torchvision cuts it. Bytes in, values out: no I/O.
//!
//! [`Preprocessing`]: drydock_contract::Preprocessing

mod decode;
mod error;
mod images;
mod layout;
mod normalize;
mod placement;
mod resize;

pub use error::{ImageError, PreprocessingError};
pub use images::{Images, Tensor};
pub use normalize::Normalizer;
pub use placement::Placement;
