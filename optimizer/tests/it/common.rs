//! What the tests on real models share.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use drydock_contract::{Input, Location, Preprocessing, Quantize, Recipe, Technique};
use drydock_optimizer::engine::{Engine, LIBRARY_ENV};
use drydock_optimizer::fetch::{Fetched, Purpose, fetch};

/// The library that the environment names, or the one that the script fetches.
pub fn library() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        if let Some(path) = std::env::var_os(LIBRARY_ENV) {
            return path.into();
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../e2e/onnxruntime.sh");
        let output = Command::new(script).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().into()
    })
    .clone()
}

/// The program, called by hand.
pub fn run(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_drydock-optimizer");
    Command::new(program).args(arguments).env(LIBRARY_ENV, library()).output().unwrap()
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub fn engine() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::load_from(&library()).unwrap()).clone()
}

pub fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models").join(name)
}

pub fn fetched(path: &Path) -> Fetched {
    let location = Location::Path(path.display().to_string());
    fetch(&Input { location, sha256: None }, Purpose::Model, &std::env::temp_dir()).unwrap()
}

/// `(x / 255 - 0.2860) / 0.3530`
pub fn preprocessing() -> Preprocessing {
    Preprocessing { scale: 1.0 / 255.0, mean: vec![0.2860], std: vec![0.3530], ..Preprocessing::default() }
}

pub fn int8(options: Quantize) -> Recipe {
    Recipe { name: "int8".into(), techniques: vec![Technique { quantize: Some(options), ..Technique::default() }] }
}

/// An example model of opset 17 that says it were of another.
pub fn with_opset(mut bytes: Vec<u8>, opset: u8) -> Vec<u8> {
    // opset_import { version: 17 } is the last field of the file.
    let at = bytes.windows(4).rposition(|w| w == [0x42, 0x02, 0x10, 17] || w == [0x42, 0x04, 0x0A, 0x00]).unwrap();
    let version = at + bytes[at..].iter().position(|b| *b == 17).unwrap();
    bytes[version] = opset;
    bytes
}
