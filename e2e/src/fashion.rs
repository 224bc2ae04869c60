//! The labelled images of `examples/models`.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// Rows and columns of an image.
pub const SIDE: usize = 28;
pub const CLASSES: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

/// The file of the evaluation set.
pub const EVALUATION: &str = "fashion-evaluation.npz";

/// One grey image and the class that people gave it.
#[derive(Clone, Debug)]
pub struct Sample {
    pub pixels: Vec<u8>,
    pub label: usize,
}

impl Sample {
    /// The model's input, little-endian FP32 of shape [1, 1, 28, 28], as the examples' `preprocessing` says.
    pub fn tensor(&self) -> Vec<u8> {
        self.pixels.iter().flat_map(|p| ((f32::from(*p) / 255.0 - 0.2860) / 0.3530).to_le_bytes()).collect()
    }

    /// A picture of it for a terminal, two pixels a character.
    pub fn drawing(&self) -> String {
        const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];
        let mut text = String::new();
        for row in self.pixels.chunks(SIDE).step_by(2) {
            text.extend(row.iter().map(|p| SHADES.get(usize::from(*p) * 5 / 256).copied().unwrap_or('█')));
            text.push('\n');
        }
        text
    }
}

/// The first `count` images of the evaluation set.
pub fn evaluation(count: usize) -> Result<Vec<Sample>> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models").join(EVALUATION), count)
}

/// The first `count` images of a file.
pub fn read(path: &Path, count: usize) -> Result<Vec<Sample>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut archive = zip::ZipArchive::new(file).with_context(|| format!("{} is not a .npz", path.display()))?;
    let x: Vec<u8> = npyz::NpyFile::new(archive.by_name("x.npy")?)?.into_vec()?;
    let y: Vec<u8> = npyz::NpyFile::new(archive.by_name("y.npy")?)?.into_vec()?;
    ensure!(x.len() == y.len() * SIDE * SIDE, "{}: {} pixels for {} labels", path.display(), x.len(), y.len());
    Ok(x.chunks(SIDE * SIDE)
        .zip(y)
        .take(count)
        .map(|(pixels, label)| Sample { pixels: pixels.to_vec(), label: usize::from(label) })
        .collect())
}
