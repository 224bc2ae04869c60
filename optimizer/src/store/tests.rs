use drydock_contract::{
    CandidateReport, Limits, Machine, Measurements, Objective, PackageContent, PackageRecord, Preprocessing, SCHEMA,
    Search, Task,
};

use super::*;

fn manifest(model: &ModelFile) -> PackageManifest {
    let content = PackageContent {
        schema: SCHEMA,
        model: model.clone(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        preprocessing: Preprocessing::default(),
        labels: Vec::new(),
        detection: None,
        target: None,
    };
    PackageManifest { digest: content.digest(), content, record: PackageRecord::new("original", Digest::of(b"")) }
}

fn publish(store: &Store, model: &[u8]) -> Digest {
    let staged = store.stage(model).unwrap();
    let manifest = manifest(staged.file());
    staged.publish(&manifest).unwrap();
    manifest.digest
}

fn names(root: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(root.join(PACKAGES))
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A manifest has the digests of some files; the rest is of whoever came last.
#[test]
fn what_a_manifest_names_stays_with_it() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let mut path = PathBuf::new();
    for content in [b"first", b"again"] {
        let mut staged = store.stage(b"model").unwrap();
        staged.write("named", content).unwrap();
        staged.attach("beside", content).unwrap();
        let manifest = manifest(staged.file());
        path = staged.publish(&manifest).unwrap();
    }
    assert_eq!(["named", "beside"].map(|name| std::fs::read(path.join(name)).unwrap()), [b"first", b"again"]);
}

#[test]
fn a_package_is_whole_or_not_there() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    drop(store.stage(b"never published").unwrap());
    assert_eq!(names(root.path()), [""; 0]);

    let digest = publish(&store, b"model");
    assert_eq!(names(root.path()), [digest.hex()]);
    assert!(store.holds(&digest));
    let mode = std::fs::metadata(store.package_path(&digest)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);

    assert_eq!(publish(&store, b"model"), digest, "a second time");
    assert_eq!(names(root.path()), [digest.hex()]);

    std::fs::write(store.package_path(&digest).join(MODEL_FILE), b"damaged").unwrap();
    assert!(!store.holds(&digest));
    publish(&store, b"model");
    assert!(store.holds(&digest), "repaired");
}

#[test]
fn writers_at_once_agree() {
    let root = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for i in 0..8_u8 {
            let root = root.path();
            scope.spawn(move || publish(&Store::open(root).unwrap(), &[i / 4]));
        }
    });
    assert_eq!(names(root.path()).len(), 2);
}

#[test]
fn only_old_staging_is_swept() {
    let root = tempfile::tempdir().unwrap();
    let packages = root.path().join(PACKAGES);
    for name in [".staging-old", ".staging-new", "kept"] {
        std::fs::create_dir_all(packages.join(name)).unwrap();
    }
    let old = SystemTime::now() - 2 * STALE;
    for name in [".staging-old", "kept"] {
        File::open(packages.join(name)).unwrap().set_modified(old).unwrap();
    }
    Store::open(root.path()).unwrap();
    assert_eq!(names(root.path()), [".staging-new", "kept"]);
}

#[test]
fn a_store_that_cannot_be_written_says_where() {
    let root = tempfile::NamedTempFile::new().unwrap();
    let error = Store::open(root.path()).unwrap_err().to_string();
    assert!(error.contains("cannot create") && error.contains("packages"), "{error}");
}

#[test]
fn a_result_is_reused_for_equal_sources_and_a_whole_package_only() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let package = publish(&store, b"model");
    let task: Task =
        serde_json::from_str(r#"{"model": {"location": {"path": "/m.onnx"}}, "store": "/store"}"#).unwrap();
    let report = CandidateReport {
        candidate: "original".into(),
        package: Some(package.clone()),
        measurements: Measurements::default(),
        failure: None,
    };
    let sources = Sources { model: Some(Digest::of(b"model")), ..Sources::default() };
    let here =
        Machine { architecture: "x86_64".into(), processor: "A CPU".into(), instruction_sets: vec!["avx2".into()] };
    let key_of = |task: &Task, index, tools: &str| ResultKey::new(task, index, tools, &here);
    let key = key_of(&task, 0, "1");
    assert_eq!(store.result(&key, &sources), None);
    store.keep_result(&key, sources.clone(), report.clone()).unwrap();
    assert_eq!(store.result(&key, &sources), Some(report));

    let other = Sources { model: Some(Digest::of(b"changed")), ..Sources::default() };
    assert_eq!(store.result(&key, &other), None);
    assert_eq!(store.result(&key_of(&task, 1, "1"), &sources), None);
    assert_eq!(store.result(&key_of(&task, 0, "2"), &sources), None);
    let elsewhere = Machine { instruction_sets: vec!["avx2".into(), "avx512_vnni".into()], ..here.clone() };
    assert_eq!(store.result(&ResultKey::new(&task, 0, "1", &elsewhere), &sources), None);
    // A search is nothing to the other indexes, and everything to its own.
    let limits = |max_accuracy_drop| Limits { max_accuracy_drop, ..Limits::default() };
    let with = |drop| Task {
        search: Some(Search {
            time_budget_seconds: 60,
            max_candidates: 8,
            limits: limits(drop),
            objective: Objective::Latency,
        }),
        ..task.clone()
    };
    assert_eq!(key_of(&with(0.5), 0, "1"), key);
    assert_ne!(key_of(&with(0.5), 1, "1"), key_of(&with(0.6), 1, "1"));
    std::fs::remove_file(store.package_path(&package).join(MODEL_FILE)).unwrap();
    assert_eq!(store.result(&key, &sources), None);
}

/// Found by one search and then by another: the model stays, what is said of it is the newer.
#[test]
fn what_is_attached_to_an_equal_package_takes_the_place_of_the_old() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let publish = |attached: Option<u32>| {
        let mut staged = store.stage(b"model").unwrap();
        if let Some(n) = attached {
            staged.attach_json("search.json", &n).unwrap();
        }
        let manifest = manifest(staged.file());
        let package = staged.publish(&manifest).unwrap();
        std::fs::read_to_string(package.join("search.json")).ok()
    };
    let found = [None, Some(1), Some(2), None].map(publish);
    assert_eq!(found, [None, Some("1".into()), Some("2".into()), Some("2".into())]);
    assert_eq!(names(root.path()).len(), 1);
}

#[test]
fn a_full_disk_leaves_no_package() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let staged = store.stage(b"model").unwrap();
    let manifest = manifest(staged.file());
    std::os::unix::fs::symlink("/dev/full", staged.directory.path().join(MANIFEST_FILE)).unwrap();
    let error = staged.publish(&manifest).unwrap_err();
    assert_eq!(error.reason(), FailureReason::DiskFull, "{error}");
    assert_eq!(names(root.path()), [""; 0]);
}
