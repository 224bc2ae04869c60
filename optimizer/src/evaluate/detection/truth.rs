use drydock_detection::Bounds;

/// An object that a data set marks in an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truth {
    pub class: usize,
    /// In pixels of the image.
    pub bounds: Bounds,
    /// Many objects in one box: what is found in it is neither right nor wrong.
    pub crowd: bool,
}
