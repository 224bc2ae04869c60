//! libFuzzer on the target that `DRYDOCK_FUZZ` names.
#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls a function by its name")]

use std::sync::LazyLock;

use drydock_fuzz::{TARGETS, Target};

static CHOSEN: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("DRYDOCK_FUZZ").unwrap_or_default();
    let found = TARGETS.iter().find(|(target, _)| *target == name);
    found.expect("DRYDOCK_FUZZ names a target").1
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    CHOSEN(data);
});
