//! Compressed bodies, both ways, on both ports.

use async_compression::tokio::bufread::{GzipDecoder, GzipEncoder, ZlibDecoder, ZlibEncoder, ZstdDecoder, ZstdEncoder};
use prost::Message as _;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tonic::Code;
use tonic::codec::CompressionEncoding;

use crate::support::{Running, bytes, image, json_body, message};

const ENCODINGS: [&str; 3] = ["gzip", "deflate", "zstd"];

async fn all(mut reader: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut data = Vec::new();
    reader.read_to_end(&mut data).await.unwrap();
    data
}

pub(crate) async fn compress(encoding: &str, data: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => all(GzipEncoder::new(data)).await,
        "deflate" => all(ZlibEncoder::new(data)).await,
        _ => all(ZstdEncoder::new(data)).await,
    }
}

pub(crate) async fn decompress(encoding: &str, data: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => all(GzipDecoder::new(data)).await,
        "deflate" => all(ZlibDecoder::new(data)).await,
        _ => all(ZstdDecoder::new(data)).await,
    }
}

#[tokio::test]
async fn rest_bodies_are_compressed_both_ways() {
    let running = Running::start(&[]).await;
    let rows = 32;
    let body = serde_json::json!({"inputs": [{"name": "input", "datatype": "FP32", "shape": [rows, 1, 28, 28],
                                              "data": image(1).repeat(rows)}]})
    .to_string();
    let plain = running.client.post(running.infer_url()).body(body.clone()).send().await.unwrap();
    assert!(!plain.headers().contains_key("content-encoding"), "nobody asked for it");
    let plain = plain.bytes().await.unwrap();
    for encoding in ENCODINGS {
        let compressed = compress(encoding, body.as_bytes()).await;
        let request = running.client.post(running.infer_url()).header("content-encoding", encoding);
        let response = request.header("accept-encoding", encoding).body(compressed).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-encoding"]),
            (200, &encoding.parse().unwrap())
        );
        let answer = response.bytes().await.unwrap();
        assert!(answer.len() < plain.len() / 2, "{encoding}: {} of {}", answer.len(), plain.len());
        assert_eq!(decompress(encoding, &answer).await, plain, "{encoding}");
    }
    // What fits into a packet is as it is.
    let request = running.client.post(running.infer_url()).header("accept-encoding", "gzip");
    let small = request.json(&json_body(&image(1))).send().await.unwrap();
    assert!(small.status() == 200 && !small.headers().contains_key("content-encoding"));
}

/// In bounded memory, and before all of it is read.
#[tokio::test]
async fn bombs_are_refused_on_both_ports() {
    let running = Running::start(&["--max-body-bytes", "20000", "--max-bytes-in-flight", "16777216"]).await;
    let zeros = vec![b' '; 4 << 20];
    for encoding in ENCODINGS {
        let bomb = compress(encoding, &zeros).await;
        for path in ["/v2/models/fashion/infer", "/v1/models/fashion:predict"] {
            let request = running.client.post(running.url(path)).header("content-encoding", encoding);
            let response = request.body(bomb.clone()).send().await.unwrap();
            let (status, body): (u16, Value) = (response.status().as_u16(), response.json().await.unwrap());
            assert_eq!(status, 400, "{encoding} {path}");
            assert!(body["error"].as_str().unwrap().contains("larger than 20000 bytes"), "{body}");
        }
    }
    let image_bytes = &bytes(&image(1));
    for (encoding, data) in [("gzip", b"none".to_vec()), ("zstd", compress("zstd", image_bytes).await[..40].to_vec())] {
        let request = running.client.post(running.infer_url()).header("content-encoding", encoding).body(data);
        let response = request.send().await.unwrap();
        let (status, body): (u16, Value) = (response.status().as_u16(), response.json().await.unwrap());
        assert_eq!(status, 400, "{encoding}");
        assert!(body["error"].as_str().unwrap().contains("could not be read to its end"), "{body}");
    }

    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Deflate, CompressionEncoding::Zstd] {
        let mut client = running.grpc().await.send_compressed(encoding);
        let mut bomb = message(&image(1));
        bomb.raw_input_contents = vec![zeros.clone().into()];
        let status = client.model_infer(bomb).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains("larger than 20000 bytes"), "{status}");
        // The next is answered.
        client.model_infer(message(&image(1))).await.unwrap();
    }
}

/// Less room than zstd's window takes.
#[tokio::test]
async fn what_decompresses_is_held_against_the_budget() {
    let running = Running::start(&["--max-bytes-in-flight", "1048576"]).await;
    let body = compress("zstd", json_body(&image(1)).to_string().as_bytes()).await;
    let request = running.client.post(running.infer_url()).header("content-encoding", "zstd").body(body.clone());
    let (status, said) = {
        let response = request.send().await.unwrap();
        (response.status(), response.json::<Value>().await.unwrap())
    };
    assert_eq!(status, 400);
    assert!(said["error"].as_str().unwrap().contains("of 1048576 for all"), "{said}");
}

/// A flag of a frame that says neither that it is compressed nor that it is not.
#[tokio::test]
async fn a_grpc_frame_of_another_kind_is_refused() {
    let running = Running::start(&[]).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let message = message(&image(1)).encode_to_vec();
    let url = format!("http://{}/inference.GRPCInferenceService/ModelInfer", running.server.grpc);
    for (flag, status) in [(0, None), (2, Some("13")), (255, Some("13"))] {
        let body = [&[flag][..], &(message.len() as u32).to_be_bytes(), &message].concat();
        let request = client.post(&url).header("content-type", "application/grpc").header("te", "trailers");
        let response = request.body(body).send().await.unwrap();
        // Of an answer with a message it comes behind that.
        let found = response.headers().get("grpc-status").map(|v| v.to_str().unwrap());
        assert_eq!(found, status, "{flag}");
    }
}

#[tokio::test]
async fn grpc_answers_are_compressed_as_their_requests_were() {
    let running = Running::start(&[]).await;
    let plain = running.grpc().await.model_infer(message(&image(1))).await.unwrap().into_inner();
    for (encoding, name) in [
        (CompressionEncoding::Gzip, "gzip"),
        (CompressionEncoding::Deflate, "deflate"),
        (CompressionEncoding::Zstd, "zstd"),
    ] {
        // A client that takes it, as all of the C core do, but does not do it itself.
        let mut client = running.grpc().await.accept_compressed(encoding);
        let response = client.model_infer(message(&image(1))).await.unwrap();
        assert!(response.metadata().get("grpc-encoding").is_none());
        let mut client = client.send_compressed(encoding);
        let response = client.model_infer(message(&image(1))).await.unwrap();
        assert_eq!(response.metadata().get("grpc-encoding").unwrap(), name);
        assert_eq!(response.into_inner(), plain, "{name}");
        // Questions too.
        assert!(client.server_live(inference_sidecar::proto::ServerLiveRequest {}).await.unwrap().into_inner().live);
    }
}
