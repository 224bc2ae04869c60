use super::window::Window;
use crate::engine::{Engine, EngineError, Session};
use crate::onnx::{Graph, ModelError, new_node};
use crate::passes::Gram;
use crate::proto::tensor_proto::DataType;
use crate::proto::{GraphProto, ModelProto, OperatorSetIdProto, TypeProto, ValueInfoProto, type_proto};

/// Rows that are multiplied at once.
const ROWS: usize = 512;
/// Outputs of one image that are read, spread over it: neighbours say much the same.
const OUTPUTS: usize = 32;
/// Below this the products are summed here: a group of a depthwise convolution has 9 inputs.
const SMALL: usize = 64;

/// Second moments of a layer's inputs, as data comes.
#[derive(Debug)]
pub(super) struct GramCollector {
    window: Window,
    groups: Vec<Moments>,
}

#[derive(Clone, Debug, Default)]
struct Moments {
    inputs: usize,
    rows: Vec<f32>,
    products: Vec<f32>,
    sums: Vec<f64>,
    count: u64,
}

impl GramCollector {
    pub(super) fn new(window: Window) -> Self {
        Self { window, groups: Vec::new() }
    }

    pub(super) fn add(&mut self, multiply: &mut Multiply, shape: &[i64], values: &[f32]) -> Result<(), EngineError> {
        let dims: Vec<usize> = shape.iter().map(|d| usize::try_from(*d).unwrap_or_default()).collect();
        match (&self.window, dims.as_slice()) {
            (Window::Image(image), &[_, channels, height, width]) => {
                self.groups.resize(image.groups, Moments::default());
                let [rows, columns] = image.outputs([height, width]);
                let step = (rows * columns).div_ceil(OUTPUTS).max(1);
                let per_group = channels / image.groups * height * width;
                if per_group == 0 {
                    return Ok(());
                }
                for (i, part) in values.chunks_exact(per_group).enumerate() {
                    let moments = &mut self.groups[i % image.groups];
                    for output in (0..rows * columns).step_by(step) {
                        let at = [output / columns, output % columns];
                        image.read(part, [height, width], at, &mut moments.rows);
                        moments.row(channels / image.groups * image.places(), multiply)?;
                    }
                }
            }
            (Window::Features, [.., features]) if *features > 0 => {
                self.groups.resize(1, Moments::default());
                for row in values.chunks_exact(*features) {
                    self.groups[0].rows.extend_from_slice(row);
                    self.groups[0].row(*features, multiply)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Empty for a layer that is not read window by window.
    pub(super) fn finish(mut self, multiply: &mut Multiply) -> Result<Vec<Gram>, EngineError> {
        let mut grams = Vec::with_capacity(self.groups.len());
        for moments in &mut self.groups {
            moments.flush(multiply)?;
            let count = moments.count.max(1) as f64;
            let products =
                std::mem::take(&mut moments.products).into_iter().map(|p| (f64::from(p) / count) as f32).collect();
            grams.push(Gram { products, means: moments.sums.iter().map(|s| s / count).collect() });
        }
        Ok(grams)
    }
}

impl Moments {
    /// Takes note that one more row is there.
    fn row(&mut self, inputs: usize, multiply: &mut Multiply) -> Result<(), EngineError> {
        self.inputs = inputs;
        if self.rows.len() >= ROWS * inputs { self.flush(multiply) } else { Ok(()) }
    }

    fn flush(&mut self, multiply: &mut Multiply) -> Result<(), EngineError> {
        let n = self.inputs;
        if n == 0 || self.rows.is_empty() {
            return Ok(());
        }
        self.products.resize(n * n, 0.0);
        self.sums.resize(n, 0.0);
        for row in self.rows.chunks_exact(n) {
            self.sums.iter_mut().zip(row).for_each(|(s, v)| *s += f64::from(*v));
        }
        if n <= SMALL {
            for row in self.rows.chunks_exact(n) {
                for (products, a) in self.products.chunks_exact_mut(n).zip(row) {
                    products.iter_mut().zip(row).for_each(|(p, b)| *p += a * b);
                }
            }
        } else {
            let products = &mut self.products;
            multiply.run(n, &self.rows, |found| products.iter_mut().zip(found).for_each(|(p, f)| *p += f))?;
        }
        self.count += (self.rows.len() / n) as u64;
        self.rows.clear();
        Ok(())
    }
}

/// xᵀ·x by the engine, whose matrix product is many times as fast as a loop.
#[derive(Debug)]
pub(super) struct Multiply(Session);

impl Multiply {
    pub(super) fn new(engine: &Engine) -> Result<Self, crate::Error> {
        Ok(Self(engine.open(&product()?.encode(), 1)?))
    }

    fn run(&mut self, inputs: usize, rows: &[f32], mut read: impl FnMut(&[f32])) -> Result<(), EngineError> {
        let shape = [(rows.len() / inputs) as i64, inputs as i64];
        self.0.run(&shape, rows, ["y"], |_, _, found| read(found))
    }
}

fn product() -> Result<Graph, ModelError> {
    let value = |name: &str| {
        let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: None };
        let r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() });
        ValueInfoProto { name: name.into(), r#type, ..ValueInfoProto::default() }
    };
    let body = GraphProto {
        name: "product".into(),
        input: vec![value("x")],
        output: vec![value("y")],
        node: vec![
            new_node("Transpose", vec!["x".into()], "t".into()),
            new_node("MatMul", vec!["t".into(), "x".into()], "y".into()),
        ],
        ..GraphProto::default()
    };
    let opset = OperatorSetIdProto { domain: String::new(), version: 17 };
    Graph::new(ModelProto { ir_version: 8, opset_import: vec![opset], graph: Some(body), ..ModelProto::default() })
}
