use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;

use super::*;

/// Answers one request and gives the address.
fn serve(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        for line in lines {
            if line.unwrap().is_empty() {
                break;
            }
        }
        stream.write_all(answer).unwrap();
    });
    format!("http://user:secret@{address}/m.onnx?token=secret")
}

fn url(url: String, sha256: Option<Digest>) -> Input {
    Input { location: Location::Url(url), sha256 }
}

fn fetch_model(input: &Input) -> Result<(Fetched, tempfile::TempDir), FetchError> {
    let scratch = tempfile::tempdir().unwrap();
    fetch(input, Purpose::Model, scratch.path()).map(|f| (f, scratch))
}

#[test]
fn downloads_and_verifies() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    let digest = Digest::of(b"hello");
    let (fetched, _scratch) = fetch_model(&url(serve(answer), Some(digest.clone()))).unwrap();
    assert_eq!(fetched.digest, digest);
    assert_eq!(std::fs::read(&fetched.path).unwrap(), b"hello");

    let other = Digest::of(b"other");
    let error = fetch_model(&url(serve(answer), Some(other.clone()))).unwrap_err();
    assert_eq!(error.reason(), FailureReason::DigestMismatch);
    let text = error.to_string();
    assert!(text.contains(digest.hex()) && text.contains(other.hex()), "{text}");
}

#[test]
fn what_the_server_says_is_in_the_message_and_no_secret_is() {
    for (answer, part) in [
        (&b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"[..], "404 Not Found"),
        (b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", "503"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", "cannot read"),
        (b"", "cannot read"),
    ] {
        let error = fetch_model(&url(serve(answer), Some(Digest::of(b"hello")))).unwrap_err();
        assert_eq!(error.reason(), FailureReason::SourceUnreachable, "{error}");
        let text = error.to_string();
        assert!(text.contains(part) && !text.contains("secret"), "{text}");
    }
}

#[test]
fn locations_that_are_refused() {
    for (location, reason, part) in [
        ("http://host/m.onnx", FailureReason::InvalidTask, "needs a sha256"),
        ("ftp://host/m.onnx", FailureReason::InvalidTask, "expected https://"),
        ("m.onnx", FailureReason::InvalidTask, "expected a URL"),
        ("https://127.0.0.1:1/m.onnx", FailureReason::SourceUnreachable, "refused"),
    ] {
        let error = fetch_model(&url(location.into(), None)).unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    let missing = Input { location: Location::Path("/no/such/model.onnx".into()), sha256: None };
    let error = fetch_model(&missing).unwrap_err();
    assert_eq!(error.reason(), FailureReason::SourceUnreachable);
    assert!(error.to_string().contains("/no/such/model.onnx"), "{error}");
}

#[test]
fn too_large_is_known_from_the_header() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n";
    let error = fetch_model(&url(serve(answer), Some(Digest::of(b"")))).unwrap_err();
    assert_eq!(error.reason(), FailureReason::InvalidModel, "{error}");
}
