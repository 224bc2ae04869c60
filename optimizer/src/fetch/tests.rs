use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;

use prost::Message as _;

use super::*;
use crate::proto::tensor_proto::DataLocation;
use crate::proto::{GraphProto, ModelProto, StringStringEntryProto, TensorProto};

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

/// A model with weights in `w.bin`, and in a file under `more/` by two names.
fn with_external_data(directory: &Path) -> Input {
    let external = |location: &str| TensorProto {
        data_location: DataLocation::External as i32,
        external_data: vec![StringStringEntryProto { key: "location".into(), value: location.into() }],
        ..TensorProto::default()
    };
    let initializer = ["w.bin", "more/v.bin", "./w.bin"].map(external).to_vec();
    let graph = GraphProto { initializer, ..GraphProto::default() };
    let model = ModelProto { graph: Some(graph), ..ModelProto::default() };
    std::fs::write(directory.join("m.onnx"), model.encode_to_vec()).unwrap();
    std::fs::write(directory.join("w.bin"), b"weights").unwrap();
    std::fs::create_dir_all(directory.join("more")).unwrap();
    std::fs::write(directory.join("more/v.bin"), b"more").unwrap();
    Input { location: Location::Path(directory.join("m.onnx").display().to_string()), sha256: None }
}

#[test]
fn the_digest_of_a_model_covers_its_external_data() {
    let directory = tempfile::tempdir().unwrap();
    let input = with_external_data(directory.path());
    let (fetched, _scratch) = fetch_model(&input).unwrap();
    let hash = |name: &str| Digest::of(&std::fs::read(directory.path().join(name)).unwrap());
    // As `sha256sum m.onnx ./w.bin more/v.bin | sha256sum` says.
    let lines = ["m.onnx", "./w.bin", "more/v.bin"].map(|n| format!("{}  {n}\n", hash(n).hex()));
    assert_eq!(fetched.digest, Digest::of(lines.concat().as_bytes()));

    std::fs::write(directory.path().join("w.bin"), b"Weights").unwrap();
    let (changed, _scratch) = fetch_model(&input).unwrap();
    assert_ne!(changed.digest, fetched.digest);
    // What was hashed first is what is there, whatever became of the source.
    std::fs::write(directory.path().join("m.onnx"), b"another model").unwrap();
    let beside = |name: &str| std::fs::read(fetched.path.with_file_name(name)).unwrap();
    assert_eq!((beside("w.bin"), beside("more/v.bin")), (b"weights".to_vec(), b"more".to_vec()));
    assert_ne!(beside("m.onnx"), b"another model");
}

#[test]
fn external_data_that_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let input = with_external_data(directory.path());
    let bytes = std::fs::read(directory.path().join("m.onnx")).unwrap();
    let digest = Some(Digest::of(&bytes));

    let answer = [format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", bytes.len()).into_bytes(), bytes].concat();
    let alone = url(serve(answer.leak()), digest.clone());
    let missing = |input: &Input| {
        std::fs::remove_file(directory.path().join("more/v.bin")).unwrap();
        input.clone()
    };
    for (input, part) in [
        (Input { sha256: digest, ..input.clone() }, "./w.bin, more/v.bin, w.bin, which sha256 does not cover"),
        (alone, "which sha256 does not cover"),
        (missing(&input), "\"more/v.bin\": No such file"),
    ] {
        let error = fetch_model(&input).unwrap_err();
        assert_eq!(error.reason(), FailureReason::InvalidModel, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_full_disk_has_a_reason_of_its_own() {
    let full = Path::new("/dev/full");
    let error = copy(&b"data"[..], &mut File::create(full).unwrap(), "name", Purpose::Model, full).unwrap_err();
    assert_eq!(error.reason(), FailureReason::DiskFull, "{error}");
    assert!(error.to_string().contains("/dev/full"), "{error}");
}
