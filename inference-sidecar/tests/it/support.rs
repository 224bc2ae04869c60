use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::LazyLock;

use clap::Parser as _;
use drydock_contract::{
    Datatype, Detection, Digest, MANIFEST_FILE, MODEL_FILE, ModelFile, PackageContent, PackageManifest, PackageRecord,
    Preprocessing, SCHEMA, TensorSignature,
};
use inference_sidecar::proto::ModelInferRequest;
use inference_sidecar::proto::grpc_inference_service_client::GrpcInferenceServiceClient;
use inference_sidecar::proto::model_infer_request::InferInputTensor;
use inference_sidecar::{Cli, Command, Config, Lifecycle, Phase, Server};
use tempfile::TempDir;
use tonic::transport::Channel;

pub(crate) const MODEL: &str = "fashion";
pub(crate) const REVISION: &str = "r1";

/// ORT_DYLIB_PATH, or what the repository's own script fetched.
pub(crate) static LIBRARY: LazyLock<String> =
    LazyLock::new(|| std::env::var("ORT_DYLIB_PATH").unwrap_or_else(|_| script_output("onnxruntime.sh", &[])));

/// What a script of `e2e/` prints.
pub(crate) fn script_output(name: &str, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../e2e").join(name);
    let output = Process::new(&script).args(arguments).output().unwrap_or_else(|e| panic!("{}: {e}", script.display()));
    assert!(output.status.success(), "{}: {output:?}", script.display());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A program of a Python environment with these packages. It is made the first time; a machine that cannot is told so here.
pub(crate) async fn python(program: &'static str, name: &'static str, packages: &'static [&'static str]) -> PathBuf {
    let arguments = [&[name], packages].concat();
    let place = tokio::task::spawn_blocking(move || script_output("python.sh", &arguments)).await.unwrap();
    Path::new(&place).join("bin").join(program)
}

/// A package of the example model, in a directory of its own.
pub(crate) struct Package {
    pub(crate) directory: TempDir,
    pub(crate) digest: Digest,
}

impl Package {
    pub(crate) fn new() -> Self {
        Self::fashion(vec![])
    }

    /// The example model with these labels.
    pub(crate) fn fashion(labels: Vec<String>) -> Self {
        Self::fashion_of(labels, Preprocessing::default())
    }

    pub(crate) fn fashion_of(labels: Vec<String>, preprocessing: Preprocessing) -> Self {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models/fashion-mobilenet.onnx");
        let model = std::fs::read(&model).unwrap_or_else(|e| panic!("{}: {e}", model.display()));
        let tensor = |name: &str, shape: &[i64]| TensorSignature {
            name: name.into(),
            datatype: Datatype::Fp32,
            shape: shape.to_vec(),
        };
        let (input, output) = (tensor("input", &[-1, 1, 28, 28]), tensor("logits", &[-1, 10]));
        Self::with(&model, vec![input], vec![output], labels, preprocessing)
    }

    pub(crate) fn of(
        model: &[u8],
        inputs: Vec<TensorSignature>,
        outputs: Vec<TensorSignature>,
        labels: Vec<String>,
    ) -> Self {
        Self::with(model, inputs, outputs, labels, Preprocessing::default())
    }

    pub(crate) fn with(
        model: &[u8],
        inputs: Vec<TensorSignature>,
        outputs: Vec<TensorSignature>,
        labels: Vec<String>,
        preprocessing: Preprocessing,
    ) -> Self {
        Self::detector(model, inputs, outputs, labels, preprocessing, None)
    }

    pub(crate) fn detector(
        model: &[u8],
        inputs: Vec<TensorSignature>,
        outputs: Vec<TensorSignature>,
        labels: Vec<String>,
        preprocessing: Preprocessing,
        detection: Option<Detection>,
    ) -> Self {
        let content = PackageContent {
            schema: SCHEMA,
            model: ModelFile { sha256: Digest::of(model), size: model.len() as u64 },
            inputs,
            outputs,
            preprocessing,
            labels,
            detection,
            target: None,
        };
        let record = PackageRecord::new("original", Digest::of(model));
        let (directory, digest) = (tempfile::tempdir().unwrap(), content.digest());
        let package = Self { directory, digest: digest.clone() };
        std::fs::write(package.path(MODEL_FILE), model).unwrap();
        package.write(&PackageManifest { digest, content, record });
        package
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn manifest(&self) -> PackageManifest {
        serde_json::from_slice(&std::fs::read(self.path(MANIFEST_FILE)).unwrap()).unwrap()
    }

    pub(crate) fn write(&self, manifest: &PackageManifest) {
        std::fs::write(self.path(MANIFEST_FILE), serde_json::to_vec(manifest).unwrap()).unwrap();
    }

    /// The arguments of a server of this package on ports that the kernel chooses. `more`: pairs of flag and value,
    /// which go before what is here.
    pub(crate) fn arguments(&self, more: &[&str]) -> Vec<String> {
        let (directory, digest) = (self.directory.path().display().to_string(), self.digest.to_string());
        let mut flags = BTreeMap::from([
            ("--package", directory.as_str()),
            ("--digest", &digest),
            ("--model-name", MODEL),
            ("--revision", REVISION),
            ("--address", "127.0.0.1"),
            ("--http-port", "0"),
            ("--grpc-port", "0"),
            ("--admin-port", "0"),
            ("--sessions", "1"),
            ("--onnxruntime", &LIBRARY),
        ]);
        flags.extend(more.chunks(2).map(|pair| (pair[0], pair[1])));
        if flags.contains_key("--digest-file") {
            flags.retain(|flag, _| !["--digest", "--revision"].contains(flag));
        }
        let flags = flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()]);
        std::iter::once("serve".to_owned()).chain(flags).collect()
    }

    pub(crate) fn config(&self, more: &[&str]) -> Config {
        let arguments = std::iter::once("inference-sidecar".to_owned()).chain(self.arguments(more));
        let Command::Serve(config) = Cli::parse_from(arguments).command;
        *config
    }
}

/// A server in this process.
pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) package: Package,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) client: reqwest::Client,
}

impl Running {
    pub(crate) async fn start(more: &[&str]) -> Self {
        Self::serve(Package::new(), more).await
    }

    pub(crate) async fn serve(package: Package, more: &[&str]) -> Self {
        let lifecycle = Lifecycle::default();
        let server = Server::start(&package.config(more), lifecycle.clone()).await.unwrap();
        Self { server, package, lifecycle, client: client() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.http)
    }

    pub(crate) fn admin(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.admin)
    }

    pub(crate) fn infer_url(&self) -> String {
        self.url(&format!("/v2/models/{MODEL}/infer"))
    }

    pub(crate) async fn grpc(&self) -> GrpcInferenceServiceClient<Channel> {
        GrpcInferenceServiceClient::connect(format!("http://{}", self.server.grpc)).await.unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.lifecycle.advance(Phase::Stopping);
    }
}

/// An image that no two seeds share.
pub(crate) fn image(seed: usize) -> Vec<f32> {
    (0..784).map(|i| ((i * 7 + seed * 131) % 255) as f32 / 255.0 - 0.3).collect()
}

pub(crate) fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

pub(crate) fn largest(values: &[f32]) -> usize {
    values.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0
}

/// A gRPC request of one or several images, one after another.
pub(crate) fn message(images: &[f32]) -> ModelInferRequest {
    let shape = vec![images.len() as i64 / 784, 1, 28, 28];
    let input = InferInputTensor { name: "input".into(), datatype: "FP32".into(), shape, ..Default::default() };
    ModelInferRequest {
        model_name: MODEL.into(),
        id: "42".into(),
        inputs: vec![input],
        raw_input_contents: vec![bytes(images).into()],
        ..Default::default()
    }
}

pub(crate) fn json_body(image: &[f32]) -> serde_json::Value {
    serde_json::json!({
        "id": "42",
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 1, 28, 28], "data": image}],
    })
}

/// Where the whole workspace is built at once reqwest has TLS, and wants a provider for it.
pub(crate) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}
