//! The report of a package, for people: one HTML file that needs nothing else.
//!
//! ```text
//!  original, candidate ─▶ study ─▶ study.json ─┐
//!  package.json, confusion.json ───────────────┴▶ page ─▶ report.html
//!  (of other packages too, to compare)
//! ```
//!
//! `study` runs the models on a few images; everything after it is a function of the files in the package, so that the
//! report can be made again, and the same package gives the same report.

mod compare;
mod layers;
mod package;
mod page;
mod picture;
mod rows;
mod study;

pub use layers::{Cost, LayerRow};
pub use package::{Package, PackageError, attach};
pub use page::{Gates, Page, render};
pub use rows::{Row, rows};
pub use study::{ChangedImage, LayerStudy, Study, graphs, study};
