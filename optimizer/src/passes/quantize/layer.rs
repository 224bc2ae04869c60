use super::select::{Role, Selection};
use super::weights::{self, Codes, Layout, Limits};
use super::{Affine, Scheme, Tuning};
use crate::onnx::{Graph, Index, ModelError, attribute_int, floats};
use crate::proto::NodeProto;

/// A layer's weight and bias, and what becomes of the weight.
#[derive(Debug)]
pub(super) struct Layer<'g> {
    pub node: &'g NodeProto,
    /// Name of the weight.
    pub name: &'g str,
    pub axis: usize,
    pub dims: &'g [i64],
    pub values: Vec<f32>,
    pub layout: Layout,
    pub limits: Limits,
    pub quantized: Codes,
    /// One for each output channel.
    pub bias: Option<Vec<f32>>,
    pub input_scale: f32,
}

impl<'g> Layer<'g> {
    /// `None` if the node is no layer.
    pub(super) fn read(
        graph: &'g Graph,
        index: &Index,
        selection: &'g Selection,
        tuning: &Tuning,
        scheme: Scheme,
        position: usize,
    ) -> Result<Option<Self>, ModelError> {
        let Some(Role::Weighted { weight: name, axis, bias, .. }) = selection.nodes.get(&position) else {
            return Ok(None);
        };
        let node = &graph.nodes()[position];
        let broken = |problem: &str| ModelError::Tensor { tensor: name.to_owned(), problem: problem.into() };
        let weight = index.initializer(graph, name).ok_or_else(|| broken("not an initializer"))?;
        let values = floats(weight)?;
        let layout = Layout::new(&weight.dims, *axis).ok_or_else(|| broken("empty"))?;
        let bias = match bias.as_ref().and_then(|b| index.initializer(graph, b)) {
            Some(bias) => {
                let found = floats(bias)?;
                Some(if found.len() == 1 { vec![found[0]; layout.channels] } else { found })
            }
            None => None,
        };
        let input_scale = affine(selection, tuning, scheme, node.input_at(0).unwrap_or_default())?.scale;
        let limits = scheme.limits(is_depthwise(node, &weight.dims));
        let mut scales = weights::scales(&values, layout, scheme.per_channel, limits);
        if !scheme.float_bias() {
            weights::fit_bias(&mut scales, bias.as_deref().unwrap_or_default(), input_scale);
        }
        let quantized = match tuning.codes.get(&position) {
            Some(codes) => Codes { codes: codes.clone(), scales },
            None => weights::encode(&values, layout, scales, limits),
        };
        let dims = &weight.dims;
        Ok(Some(Self { node, name, axis: *axis, dims, values, layout, limits, quantized, bias, input_scale }))
    }
}

/// Each channel by itself: these kernels multiply one by one, in 32 bits.
fn is_depthwise(node: &NodeProto, dims: &[i64]) -> bool {
    node.is("Conv") && dims.get(1) == Some(&1) && dims.first() == Some(&attribute_int(node, "group", 1))
}

/// How an activation is quantized.
pub(super) fn affine(
    selection: &Selection,
    tuning: &Tuning,
    scheme: Scheme,
    value: &str,
) -> Result<Affine, ModelError> {
    let root = selection.root(value);
    let (min, max) = tuning.ranges.get(root).copied().unwrap_or((f32::NAN, f32::NAN));
    if !(min.is_finite() && max.is_finite()) {
        let problem = format!("its range on the calibration data is {min} to {max}; expected finite values");
        return Err(ModelError::Tensor { tensor: root.to_owned(), problem });
    }
    Ok(Affine::over(min, max, scheme.rules.activations))
}
