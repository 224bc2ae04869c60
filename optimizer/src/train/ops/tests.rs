//! Every gradient beside the quotient of differences, on odd shapes.

use super::*;
use crate::onnx::{Graph, float_tensor, integer_attribute, tensor};
use crate::proto::attribute_proto::AttributeType;
use crate::proto::tensor_proto::DataType;
use crate::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto,
};
use crate::train::build::{Constants, build};

/// Numbers without a pattern, none near 0 or another: no difference steps over a kink.
fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut values: Vec<f32> =
        (0..len).map(|i| (i as f32 + 0.5) / len as f32 * 4.0 - 2.0).map(|v| v + 0.05 * v.signum()).collect();
    random.shuffle(&mut values);
    values
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints as i32,
        ints: values.to_vec(),
        ..AttributeProto::default()
    }
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Float as i32, f: value, ..AttributeProto::default() }
}

fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::String as i32,
        s: value.as_bytes().to_vec(),
        ..AttributeProto::default()
    }
}

/// A node whose first inputs have these shapes; `constants` come after them.
struct Case {
    op: &'static str,
    attributes: Vec<AttributeProto>,
    shapes: Vec<&'static [usize]>,
    constants: Vec<TensorProto>,
    output: &'static [usize],
}

fn case(
    op: &'static str,
    attributes: Vec<AttributeProto>,
    shapes: &[&'static [usize]],
    output: &'static [usize],
) -> Case {
    Case { op, attributes, shapes: shapes.to_vec(), constants: Vec::new(), output }
}

impl Case {
    fn with(mut self, constants: Vec<TensorProto>) -> Self {
        self.constants = constants;
        self
    }

    fn operator(&self, training: bool) -> Box<dyn Operator> {
        let names: Vec<String> = (0..self.shapes.len()).map(|i| format!("x{i}")).collect();
        let constants = self.constants.iter().map(|t| t.name.clone());
        let mut attributes = self.attributes.clone();
        // The weight is no constant here, from which it would be taken.
        if let ("Conv", Some([_, _, h, w])) = (self.op, self.shapes.get(1).copied()) {
            attributes.push(ints("kernel_shape", &[*h as i64, *w as i64]));
        }
        let node = NodeProto {
            op_type: self.op.into(),
            attribute: attributes,
            input: names.iter().cloned().chain(constants).collect(),
            output: vec!["y".into()],
            ..NodeProto::default()
        };
        let info = |name: &str| ValueInfoProto { name: name.into(), ..ValueInfoProto::default() };
        let body = GraphProto {
            node: vec![node.clone()],
            input: names.iter().map(|n| info(n)).collect(),
            output: vec![info("y")],
            initializer: self.constants.clone(),
            ..GraphProto::default()
        };
        let opset = OperatorSetIdProto { version: 17, ..OperatorSetIdProto::default() };
        let graph =
            Graph::new(ModelProto { opset_import: vec![opset], graph: Some(body), ..ModelProto::default() }).unwrap();
        let index = graph.index();
        build(&node, Constants { graph: &graph, index: &index }, training).unwrap().operator
    }

    /// Σ yᵢ·cᵢ is the loss; its gradient by the operator, and by differences in float64.
    fn check(&self, training: bool) {
        let name = format!("{} {:?}", self.op, self.shapes);
        let mut operator = self.operator(training);
        let mut buffers = Buffers::default();
        let mut inputs: Vec<Tensor> = self
            .shapes
            .iter()
            .enumerate()
            .map(|(i, s)| Tensor::from_row_major(s, &values(s.iter().product(), i as u64)))
            .collect();
        let refer = |inputs: &[Tensor]| inputs.to_vec();
        let mut run = |operator: &mut dyn Operator, inputs: &[Tensor]| {
            let inputs = refer(inputs);
            let inputs: Vec<&Tensor> = inputs.iter().collect();
            operator.forward(&inputs, &mut buffers).unwrap_or_else(|e| panic!("{name}: {e}"))
        };
        let output = run(&mut *operator, &inputs);
        assert_eq!(output.shape, self.output, "{name}");
        let weights = values(output.data.len(), 99);
        let loss = |y: &Tensor| y.data.iter().zip(&weights).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum::<f64>();
        let wanted = vec![true; inputs.len()];
        let grads = {
            let inputs: Vec<&Tensor> = inputs.iter().collect();
            operator.backward(&inputs, &output, weights.clone(), &wanted, &mut Buffers::default())
        };
        for i in 0..inputs.len() {
            let grad = grads[i].as_ref().unwrap_or_else(|| panic!("{name}: no gradient of input {i}"));
            assert_eq!(grad.len(), inputs[i].data.len(), "{name}: input {i}");
            for (at, slope) in grad.iter().enumerate() {
                let old = inputs[i].data[at];
                let mut moved = |by: f32| {
                    inputs[i].data[at] = old + by;
                    loss(&run(&mut *operator, &inputs))
                };
                let step = 5e-3;
                let quotient = (moved(step) - moved(-step)) / f64::from(2.0 * step);
                inputs[i].data[at] = old;
                let close = (quotient - f64::from(*slope)).abs() < 2e-2 * quotient.abs().max(1.0);
                assert!(close, "{name}: input {i}, value {at}: {slope} and by differences {quotient}");
            }
        }
    }
}

fn scalar(name: &str, value: f32) -> TensorProto {
    float_tensor(name, &[], &[value])
}

fn shape_tensor(name: &str, values: &[i64]) -> TensorProto {
    tensor(name, DataType::Int64, &[values.len() as i64], values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

#[test]
fn convolutions() {
    let strides = |s: [i64; 2]| ints("strides", &s);
    let pads = |p: [i64; 4]| ints("pads", &p);
    let group = |g| integer_attribute("group", g);
    for case in [
        case("Conv", vec![], &[&[2, 3, 4, 5], &[4, 3, 1, 1], &[4]], &[2, 4, 4, 5]),
        case("Conv", vec![strides([2, 2])], &[&[2, 3, 5, 4], &[2, 3, 1, 1]], &[2, 2, 3, 2]),
        case("Conv", vec![pads([1, 1, 1, 1])], &[&[2, 2, 5, 3], &[3, 2, 3, 3], &[3]], &[2, 3, 5, 3]),
        case("Conv", vec![pads([0, 2, 1, 0]), strides([2, 1])], &[&[1, 2, 5, 4], &[3, 2, 3, 2]], &[1, 3, 2, 5]),
        case("Conv", vec![ints("dilations", &[2, 3])], &[&[1, 2, 5, 7], &[2, 2, 2, 3]], &[1, 2, 3, 1]),
        case("Conv", vec![pads([3, 3, 3, 3])], &[&[1, 1, 2, 2], &[2, 1, 3, 3]], &[1, 2, 6, 6]),
        case("Conv", vec![group(2), pads([1, 1, 1, 1])], &[&[2, 4, 3, 3], &[6, 2, 3, 3], &[6]], &[2, 6, 3, 3]),
        case("Conv", vec![group(2)], &[&[2, 4, 2, 3], &[2, 2, 1, 1]], &[2, 2, 2, 3]),
        case("Conv", vec![group(3), pads([1; 4])], &[&[2, 3, 4, 3], &[3, 1, 3, 3], &[3]], &[2, 3, 4, 3]),
        case("Conv", vec![group(5), pads([1; 4]), strides([2, 2])], &[&[1, 5, 5, 4], &[5, 1, 3, 3]], &[1, 5, 3, 2]),
        case("Conv", vec![group(2), ints("dilations", &[2, 2])], &[&[1, 2, 5, 5], &[2, 1, 2, 2]], &[1, 2, 3, 3]),
        case("Conv", vec![group(2)], &[&[1, 2, 3, 3], &[4, 1, 2, 2]], &[1, 4, 2, 2]),
        case(
            "Conv",
            vec![text("auto_pad", "SAME_UPPER"), strides([2, 2])],
            &[&[1, 1, 4, 5], &[1, 1, 3, 3]],
            &[1, 1, 2, 3],
        ),
    ] {
        case.check(true);
    }
}

#[test]
fn norms() {
    let statistics =
        || vec![float_tensor("mean", &[3], &[0.1, -0.2, 0.3]), float_tensor("variance", &[3], &[1.0, 2.0, 0.5])];
    for training in [true, false] {
        case("BatchNormalization", vec![], &[&[2, 3, 2, 3], &[3], &[3]], &[2, 3, 2, 3])
            .with(statistics())
            .check(training);
        case("BatchNormalization", vec![float("epsilon", 0.1)], &[&[5, 3], &[3], &[3]], &[5, 3])
            .with(statistics())
            .check(training);
    }
}

#[test]
fn activations() {
    for (op, attributes) in [
        ("Relu", vec![]),
        ("Identity", vec![]),
        ("LeakyRelu", vec![float("alpha", 0.3)]),
        ("HardSigmoid", vec![float("alpha", 0.3)]),
        ("HardSwish", vec![]),
        ("Sigmoid", vec![]),
        ("Tanh", vec![]),
        ("Exp", vec![]),
        ("Neg", vec![]),
    ] {
        case(op, attributes, &[&[3, 7]], &[3, 7]).check(true);
    }
    case("Clip", vec![], &[&[2, 2, 3, 3]], &[2, 2, 3, 3])
        .with(vec![scalar("min", -0.5), scalar("max", 1.0)])
        .check(true);
    case("Softmax", vec![integer_attribute("axis", 1)], &[&[3, 4]], &[3, 4]).check(true);
}

#[test]
fn arithmetic_broadcasts() {
    for op in ["Add", "Sub", "Mul", "Div"] {
        case(op, vec![], &[&[2, 3, 2, 2], &[2, 3, 2, 2]], &[2, 3, 2, 2]).check(true);
        case(op, vec![], &[&[2, 3, 2, 2], &[2, 3, 1, 1]], &[2, 3, 2, 2]).check(true);
        case(op, vec![], &[&[1, 3, 1, 2], &[2, 1, 2, 2]], &[2, 3, 2, 2]).check(true);
        case(op, vec![], &[&[2, 3, 2, 2], &[3, 1, 1]], &[2, 3, 2, 2]).check(true);
        case(op, vec![], &[&[3, 2, 2], &[2, 3, 2, 2]], &[2, 3, 2, 2]).check(true);
        case(op, vec![], &[&[2, 5], &[5]], &[2, 5]).check(true);
        case(op, vec![], &[&[], &[2, 5]], &[2, 5]).check(true);
    }
}

#[test]
fn products() {
    let flag = |name, on: bool| integer_attribute(name, i64::from(on));
    case("Gemm", vec![], &[&[3, 4], &[4, 2], &[2]], &[3, 2]).check(true);
    case("Gemm", vec![flag("transB", true), float("alpha", 0.5)], &[&[3, 4], &[2, 4], &[1, 2]], &[3, 2]).check(true);
    case("Gemm", vec![flag("transA", true), float("beta", 2.0)], &[&[4, 3], &[4, 2], &[]], &[3, 2]).check(true);
    case("Gemm", vec![flag("transA", true), flag("transB", true)], &[&[4, 3], &[2, 4]], &[3, 2]).check(true);
    case("MatMul", vec![], &[&[3, 4], &[4, 2]], &[3, 2]).check(true);
    case("MatMul", vec![], &[&[2, 3, 4], &[4, 2]], &[2, 3, 2]).check(true);
    case("MatMul", vec![], &[&[2, 3, 4], &[2, 4, 2]], &[2, 3, 2]).check(true);
}

#[test]
fn pools() {
    let kernel = |k: [i64; 2]| ints("kernel_shape", &k);
    let strides = || ints("strides", &[2, 2]);
    case("MaxPool", vec![kernel([2, 2]), strides()], &[&[2, 3, 4, 5]], &[2, 3, 2, 2]).check(true);
    case("MaxPool", vec![kernel([3, 3]), strides(), ints("pads", &[1; 4])], &[&[1, 2, 5, 4]], &[1, 2, 3, 2])
        .check(true);
    case(
        "MaxPool",
        vec![kernel([2, 2]), strides(), integer_attribute("ceil_mode", 1)],
        &[&[1, 2, 3, 5]],
        &[1, 2, 2, 3],
    )
    .check(true);
    case("AveragePool", vec![kernel([3, 2]), ints("pads", &[1; 4])], &[&[1, 2, 4, 3]], &[1, 2, 4, 4]).check(true);
    let counted = integer_attribute("count_include_pad", 1);
    case("AveragePool", vec![kernel([3, 3]), ints("pads", &[1; 4]), counted], &[&[1, 2, 3, 3]], &[1, 2, 3, 3])
        .check(true);
    case("GlobalAveragePool", vec![], &[&[2, 3, 2, 4]], &[2, 3, 1, 1]).check(true);
    let axes = || ints("axes", &[2, 3]);
    case("ReduceMean", vec![axes(), integer_attribute("keepdims", 0)], &[&[2, 3, 2, 4]], &[2, 3]).check(true);
}

#[test]
fn shapes() {
    case("Flatten", vec![], &[&[2, 3, 2, 2]], &[2, 12]).check(true);
    case("Flatten", vec![integer_attribute("axis", 2)], &[&[2, 3, 2, 2]], &[6, 4]).check(true);
    case("Reshape", vec![], &[&[2, 3, 2, 2]], &[2, 4, 3]).with(vec![shape_tensor("s", &[0, -1, 3])]).check(true);
    case("Reshape", vec![], &[&[2, 12]], &[2, 3, 2, 2]).with(vec![shape_tensor("s", &[-1, 3, 2, 2])]).check(true);
    case("Squeeze", vec![], &[&[2, 3, 1, 1]], &[2, 3]).with(vec![shape_tensor("a", &[2, -1])]).check(true);
    case("Unsqueeze", vec![], &[&[2, 3]], &[2, 3, 1, 1]).with(vec![shape_tensor("a", &[2, 3])]).check(true);
    case("Transpose", vec![ints("perm", &[0, 2, 3, 1])], &[&[2, 3, 1, 2]], &[2, 1, 2, 3]).check(true);
    case("Transpose", vec![], &[&[2, 3, 4]], &[4, 3, 2]).check(true);
    let axis = |a| vec![integer_attribute("axis", a)];
    case("Concat", axis(1), &[&[2, 3, 2, 2], &[2, 1, 2, 2]], &[2, 4, 2, 2]).check(true);
    case("Concat", axis(-1), &[&[2, 3, 2, 2], &[2, 3, 2, 1]], &[2, 3, 2, 3]).check(true);
    case("Concat", axis(0), &[&[2, 3], &[1, 3]], &[3, 3]).check(true);
}

/// Rounding has no gradient: it is passed straight through inside the range, and is 0 outside.
#[test]
fn rounding_is_passed_straight_through() {
    let scale = float_tensor("scale", &[2], &[0.5, 0.25]);
    let zero = tensor("zero", DataType::Uint8, &[2], vec![2, 0]);
    let axis = || vec![integer_attribute("axis", 1)];
    let quantize = case("QuantizeLinear", axis(), &[&[1, 2, 1, 3]], &[]).with(vec![scale.clone(), zero.clone()]);
    let restore = case("DequantizeLinear", axis(), &[&[1, 2, 1, 3]], &[]).with(vec![scale, zero]);
    let (mut quantize, mut restore) = (quantize.operator(true), restore.operator(true));
    let mut buffers = Buffers::default();
    let x = Tensor::from_row_major(&[1, 2, 1, 3], &[-2.0, -0.9, 0.75, -0.2, 0.3, 70.0]);
    let q = quantize.forward(&[&x], &mut buffers).unwrap();
    assert_eq!(q.to_row_major(), [0.0, 0.0, 4.0, 0.0, 1.0, 255.0]);
    let y = restore.forward(&[&q], &mut buffers).unwrap();
    assert_eq!(y.to_row_major(), [-1.0, -1.0, 1.0, 0.0, 0.25, 63.75]);
    let grad = Tensor::from_row_major(&[1, 2, 1, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).data;
    let grad = restore.backward(&[&q], &y, grad, &[true], &mut buffers).remove(0).unwrap();
    let grad = quantize.backward(&[&x], &q, grad, &[true], &mut buffers).remove(0).unwrap();
    assert_eq!(Tensor::new(&x.shape, grad).to_row_major(), [0.0, 2.0, 3.0, 0.0, 5.0, 0.0]);
}

#[test]
fn what_does_not_fit_is_said() {
    let mut buffers = Buffers::default();
    for (case, part) in [
        (case("Conv", vec![], &[&[1, 3, 4, 4], &[2, 2, 3, 3]], &[]), "channels that fit"),
        (case("Conv", vec![], &[&[1, 2, 2, 2], &[2, 2, 3, 3]], &[]), "smaller than the kernel"),
        (case("Conv", vec![], &[&[1, 2, 4], &[2, 2, 3, 3]], &[]), "expected (N, C, H, W)"),
        (case("Add", vec![], &[&[2, 3], &[2]], &[]), "that broadcast"),
        (case("MatMul", vec![], &[&[2, 3], &[2, 3]], &[]), "(K, N)"),
        (case("Gemm", vec![], &[&[2, 3], &[2, 3]], &[]), "matrices that fit"),
        (case("Concat", vec![integer_attribute("axis", 0)], &[&[2, 3], &[2, 4]], &[]), "along axis 0"),
        (case("Softmax", vec![integer_attribute("axis", 1)], &[&[2, 3, 4]], &[]), "expected the last"),
    ] {
        let inputs: Vec<Tensor> =
            case.shapes.iter().map(|s| Tensor::from_row_major(s, &values(s.iter().product(), 0))).collect();
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        let error = case.operator(true).forward(&inputs, &mut buffers).unwrap_err();
        assert!(error.contains(part), "{}: {error}", case.op);
    }
}
