use std::collections::HashSet;

use sha2::{Digest as _, Sha256};

use super::{Dataset, DatasetError};

const BATCH: usize = 64;

/// Images of one set that are in another too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    pub images: u64,
    /// Index of the first of them.
    pub first: usize,
}

impl Dataset {
    /// What of this set is in `other` too, compared as the model sees it, whatever format the files have.
    ///
    /// Takes some 16 bytes for each image of `other`. Unequal images have equal hashes with a chance of n m / 2^128.
    pub fn overlap(&self, other: &Self) -> Result<Option<Overlap>, DatasetError> {
        let mut seen = HashSet::with_capacity(other.len());
        other.each_hash(|_, hash| {
            seen.insert(hash);
        })?;
        let mut found: Option<Overlap> = None;
        self.each_hash(|index, hash| {
            if seen.contains(&hash) {
                found.get_or_insert(Overlap { images: 0, first: index }).images += 1;
            }
        })?;
        Ok(found)
    }

    fn each_hash(&self, mut f: impl FnMut(usize, u128)) -> Result<(), DatasetError> {
        let elements = self.item.iter().product::<i64>() as usize;
        let mut bytes = Vec::with_capacity(elements * size_of::<f32>());
        self.batches(usize::MAX, BATCH, |batch| {
            for (row, values) in batch.data.chunks(elements).take(batch.count).enumerate() {
                bytes.clear();
                bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
                let hash = Sha256::digest(&bytes);
                let mut short = [0; 16];
                short.copy_from_slice(&hash[..16]);
                f(batch.start + row, u128::from_le_bytes(short));
            }
            Ok(())
        })
    }
}
