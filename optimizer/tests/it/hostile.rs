//! Files that are damaged, or made to do damage: an error each time, never a panic.

use std::collections::BTreeSet;

use crate::common::{example, with_opset};
use bytes::Bytes;
use drydock_optimizer::onnx::{self, ModelError, Shapes};
use drydock_optimizer::passes::{self, Extent, Half, Tuning};

/// Everything that reads a model, short of ONNX Runtime.
fn read(bytes: &[u8]) -> Result<usize, ModelError> {
    let graph = onnx::parse(Bytes::copy_from_slice(bytes))?;
    onnx::signature(&graph)?;
    let (graph, _) = passes::upgrade(graph)?;
    let (graph, _) = passes::lift_constants(graph);
    onnx::macs(&graph, &Shapes::infer_batch(&graph, 1)?)?;
    let (graph, _) = passes::remove_noops(graph)?;
    let (graph, _) = passes::fold_batch_norm(graph)?;
    let (graph, _) = passes::mean_to_pool(graph);
    let scheme = passes::Scheme::new(true, drydock_contract::Target::CpuVnni);
    let selection = passes::select(&graph, &BTreeSet::new())?;
    let values = selection.calibrated();
    // As many channels as most layers of these models do not have: whatever a file says must not be believed.
    let extent = Extent { rank: 4, channels: vec![(-1.0, 1.0); 16] };
    let extents = values.into_iter().map(|v| (v.to_owned(), extent.clone())).collect();
    let (graph, extents, _) = passes::equalize(graph, &selection, extents)?;
    let selection = passes::select(&graph, &BTreeSet::new())?;
    let ranges = extents.iter().map(|(v, extent)| (v.clone(), extent.range())).collect();
    let tuning = Tuning { ranges, biases: true, ..Tuning::default() };
    passes::halve(graph.clone(), Half::Float16)?;
    passes::weight_only(graph.clone(), 4, 32)?;
    passes::dynamic(graph.clone(), scheme)?;
    Ok(passes::quantize(graph, &selection, &tuning, scheme)?.0.encode().len())
}

struct Noise(u64);

impl Noise {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

#[test]
fn truncated_anywhere() {
    let bytes = std::fs::read(example("fashion-mobilenet.onnx")).unwrap();
    let mut noise = Noise(1);
    let mut cuts: Vec<usize> = (0..40).map(|_| noise.below(bytes.len())).collect();
    cuts.extend([0, 1, 2, 10, 100, bytes.len() - 1]);
    for cut in cuts {
        let error = read(&bytes[..cut]).expect_err("half a model").to_string();
        assert!(cut == 0 || error.contains("truncated") || error.contains("graph"), "at {cut}: {error}");
    }
    assert!(read(&bytes).is_ok());
}

#[test]
fn bits_flipped_anywhere() {
    let original = std::fs::read(example("fashion-mobilenet-bn.onnx")).unwrap();
    let mut noise = Noise(2);
    let mut refused = 0;
    for _ in 0..400 {
        let mut bytes = original.clone();
        for _ in 0..=noise.below(40) {
            // Most of the file is weights; what can be broken lies at the nodes and the names, at the front.
            let limit = if noise.below(2) == 0 { bytes.len() } else { 30_000 };
            let at = noise.below(limit);
            bytes[at] ^= 1 << noise.below(8);
        }
        refused += usize::from(read(&bytes).is_err());
    }
    assert!(refused > 70, "{refused} of 400 refused: the noise does not reach the structure");
}

#[test]
fn no_model_at_all() {
    let nested = {
        // A graph in an attribute of a node of a graph in …
        let mut inner: Vec<u8> = Vec::new();
        for _ in 0..3000 {
            for field in [0x32_u8, 0x2A, 0x0A] {
                let mut outer = vec![field];
                prost::encoding::encode_varint(inner.len() as u64, &mut outer);
                outer.append(&mut inner);
                inner = outer;
            }
        }
        inner
    };
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("text", b"this is no model"),
        ("zip", b"PK\x03\x04"),
        ("length that lies", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
        ("nested without end", &nested),
    ] {
        assert!(read(bytes).is_err(), "{name}");
    }
}

#[test]
fn an_opset_out_of_range_says_what_to_do() {
    let bytes = std::fs::read(example("fashion-mobilenet.onnx")).unwrap();
    for (opset, ok) in [(11, true), (13, true), (23, true), (10, false), (24, false)] {
        let result = onnx::parse(Bytes::from(with_opset(bytes.clone(), opset)));
        assert_eq!(result.is_ok(), ok, "opset {opset}");
        if let Err(error) = result {
            assert!(error.to_string().contains("version_converter"), "{error}");
        }
    }
}
