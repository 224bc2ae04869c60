use drydock_contract::LayerRanks;

use crate::passes::layer::{Form, Layer};

/// Ranks to choose from on one side of a layer.
const MOST_STEPS: usize = 16;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RankError {
    #[error("{side} rank {found}; expected 1 to {most}")]
    Range { side: &'static str, found: u32, most: usize },
    #[error("an input rank and a kernel of 1x1; expected an output rank alone, as both would be the same")]
    Pointwise,
    #[error("neither rank; expected one or both of `input` and `output`")]
    Neither,
}

/// How large a layer is, as a tensor (outputs, inputs, kernel) applied at positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerSize {
    /// Channels that it makes.
    pub outputs: usize,
    /// Channels that it reads.
    pub inputs: usize,
    /// Values of each channel that one output is the sum over.
    pub kernel: usize,
    /// Positions of one inference that it makes, and that it reads.
    pub made: usize,
    pub read: usize,
}

impl LayerSize {
    /// `input` and `output`: shapes of what it reads and makes, of a batch of one.
    pub fn of(layer: &Layer, input: &[i64], output: &[i64]) -> Self {
        let kernel = layer.kernel();
        Self {
            outputs: layer.rows,
            inputs: layer.columns / kernel.max(1),
            kernel,
            made: layer.positions(output),
            read: layer.positions(input),
        }
    }

    /// Multiply-accumulates of one inference.
    pub fn macs(self, ranks: LayerRanks) -> u64 {
        let (input, output) = (ranks.input.map(|r| r as usize), ranks.output.map(|r| r as usize));
        let before = input.map_or(0, |r| self.read * self.inputs * r);
        let core = self.made * input.unwrap_or(self.inputs) * self.kernel * output.unwrap_or(self.outputs);
        let after = output.map_or(0, |r| self.made * r * self.outputs);
        (before + core + after) as u64
    }

    /// Ranks on either side that may be worth their while: multiples of what vector instructions work on.
    pub fn steps(self) -> (Vec<usize>, Vec<usize>) {
        let steps = |channels: usize| -> Vec<usize> {
            let step = (channels / 4).clamp(1, 8) * channels.div_ceil(8 * MOST_STEPS).max(1);
            (step..channels).step_by(step).collect()
        };
        let inputs = if self.kernel > 1 { steps(self.inputs) } else { Vec::new() };
        (inputs, steps(self.outputs.min(self.inputs * self.kernel)))
    }

    pub fn check(self, ranks: LayerRanks) -> Result<(), RankError> {
        for (side, rank, most) in
            [("input", ranks.input, self.inputs), ("output", ranks.output, self.outputs.min(self.inputs * self.kernel))]
        {
            if let Some(found) = rank.filter(|r| !(1..=most).contains(&(*r as usize))) {
                return Err(RankError::Range { side, found, most });
            }
        }
        if ranks.input.is_some() && self.kernel == 1 {
            return Err(RankError::Pointwise);
        }
        if ranks == LayerRanks::default() { Err(RankError::Neither) } else { Ok(()) }
    }
}

impl Layer {
    /// Values of each channel that one output is the sum over.
    pub fn kernel(&self) -> usize {
        match &self.form {
            Form::Conv(window) => window.kernel[0] * window.kernel[1],
            Form::Dense { .. } => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranks(input: Option<u32>, output: Option<u32>) -> LayerRanks {
        LayerRanks { input, output }
    }

    #[test]
    fn multiply_accumulates() {
        // 3x3 with stride 2: the first factor works on four times the positions.
        let conv = LayerSize { outputs: 128, inputs: 64, kernel: 9, made: 16, read: 64 };
        for (found, expected) in [
            (ranks(None, None), 16 * 128 * 64 * 9),
            (ranks(None, Some(32)), 16 * (32 * 64 * 9 + 128 * 32)),
            (ranks(Some(16), None), 64 * 64 * 16 + 16 * 128 * 16 * 9),
            (ranks(Some(16), Some(32)), 64 * 64 * 16 + 16 * (16 * 9 * 32 + 32 * 128)),
        ] {
            assert_eq!(conv.macs(found), expected, "{found:?}");
        }
    }

    #[test]
    fn steps_are_few_multiples_of_eight() {
        let size = |outputs, inputs, kernel| LayerSize { outputs, inputs, kernel, made: 1, read: 1 };
        for (size, inputs, outputs) in [
            (size(64, 32, 9), vec![8, 16, 24], vec![8, 16, 24, 32, 40, 48, 56]),
            (size(32, 1, 9), vec![], vec![2, 4, 6, 8]),
            (size(10, 64, 1), vec![], vec![2, 4, 6, 8]),
            (size(1, 64, 1), vec![], vec![]),
        ] {
            assert_eq!(size.steps(), (inputs, outputs), "{size:?}");
        }
        let (inputs, outputs) = size(2048, 512, 9).steps();
        assert!(inputs.len() < 17 && outputs.len() < 17 && inputs.iter().chain(&outputs).all(|r| r % 8 == 0));
    }

    #[test]
    fn ranks_that_cannot_be() {
        let conv = LayerSize { outputs: 64, inputs: 4, kernel: 9, made: 1, read: 1 };
        let point = LayerSize { kernel: 1, ..conv };
        for (size, found, expected) in [
            (conv, ranks(Some(4), Some(36)), Ok(())),
            (conv, ranks(Some(5), None), Err(RankError::Range { side: "input", found: 5, most: 4 })),
            (conv, ranks(None, Some(37)), Err(RankError::Range { side: "output", found: 37, most: 36 })),
            (conv, ranks(Some(0), None), Err(RankError::Range { side: "input", found: 0, most: 4 })),
            (conv, ranks(None, None), Err(RankError::Neither)),
            (point, ranks(Some(2), Some(2)), Err(RankError::Pointwise)),
            (point, ranks(None, Some(4)), Ok(())),
        ] {
            assert_eq!(size.check(found), expected, "{found:?} of {size:?}");
        }
    }
}
