use drydock_contract::{Activations, Bias, Int8Rules, Target};

use super::weights::Limits;

/// The form of int8: what the recipe asks for on what the target takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scheme {
    /// One scale for each output channel of a weight, or one.
    pub per_channel: bool,
    pub rules: Int8Rules,
}

impl Scheme {
    pub fn new(per_channel: bool, target: Target) -> Self {
        Self { per_channel, rules: target.rules().int8 }
    }

    /// Whether saturation of the codes can stand for a `Relu` or `Clip`.
    pub(super) fn absorbs(self) -> bool {
        self.rules.activations == Activations::Unsigned
    }

    /// `alone`: the layer's kernels add no two products before they are in 32 bits.
    pub(in crate::passes) fn limits(self, alone: bool) -> Limits {
        Limits { one: self.rules.weight_limit, pair: self.rules.pair_limit.filter(|_| !alone) }
    }

    pub(super) fn float_bias(self) -> bool {
        self.rules.bias == Bias::Float32
    }
}
