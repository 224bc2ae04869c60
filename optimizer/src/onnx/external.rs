//! Tensors whose data lies in another file, named relative to the model's directory.
//! <https://github.com/onnx/onnx/blob/main/docs/ExternalData.md>

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Component, Path};

use super::read::MAX_MODEL_BYTES;
use super::{ModelError, element_count};
use crate::proto::tensor_proto::{DataLocation, DataType};
use crate::proto::{GraphProto, NodeProto, StringStringEntryProto, TensorProto};

/// Name of the file that [`store`] writes.
const STORED: &str = "weights";
/// What is smaller stays in the model.
const LEAST_STORED: usize = 64 << 10;
/// ONNX Runtime maps what begins at a page.
const PAGE: usize = 4096;

/// Reads every external tensor of the graph, its subgraphs and its attributes into the message.
///
/// Whether there were any.
pub(super) fn load(graph: &mut GraphProto, directory: &Path) -> Result<bool, ModelError> {
    // What is written later is one file, so the sum has that file's limit.
    let mut budget = MAX_MODEL_BYTES;
    let mut any = false;
    visit(graph, &mut |tensor| {
        any = true;
        load_tensor(tensor, directory, &mut budget)
    })?;
    Ok(any)
}

/// Names of the files that hold the external data, as the model gives them.
pub(super) fn locations(graph: &mut GraphProto) -> Result<BTreeSet<String>, ModelError> {
    let mut found = BTreeSet::new();
    visit(graph, &mut |tensor| {
        found.insert(location(tensor).to_owned());
        Ok(())
    })?;
    Ok(found)
}

/// Opens an external file of a model in `directory`.
///
/// # Errors
/// What is wrong with it: no such file, or one that is not inside the directory.
pub fn open_external(directory: &Path, location: &str) -> Result<File, String> {
    let relative = Path::new(location);
    if location.is_empty() || !relative.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) {
        return Err("expected a path inside the model's directory, without `..`".into());
    }
    // A symbolic link may lead outside where the text of the path does not.
    let open = || -> std::io::Result<Option<File>> {
        let path = directory.join(relative).canonicalize()?;
        if !path.starts_with(directory.canonicalize()?) {
            return Ok(None);
        }
        File::open(path).map(Some)
    };
    open().map_err(|e| e.to_string())?.ok_or_else(|| "it leads outside the model's directory".into())
}

/// Takes the larger initializers out of the graph, into a file in `directory`.
pub(super) fn store(graph: &mut GraphProto, directory: &Path) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(directory.join(STORED))?);
    let mut end = 0_usize;
    for tensor in graph.initializer.iter_mut().filter(|t| t.raw_data.len() >= LEAST_STORED) {
        let data = std::mem::take(&mut tensor.raw_data);
        let start = end.next_multiple_of(PAGE);
        file.write_all(&[0; PAGE][..start - end])?;
        file.write_all(&data)?;
        end = start + data.len();
        let entry = |key: &str, value: String| StringStringEntryProto { key: key.into(), value };
        let (offset, length) = (start.to_string(), data.len().to_string());
        tensor.external_data = vec![entry("location", STORED.into()), entry("offset", offset), entry("length", length)];
        tensor.data_location = DataLocation::External as i32;
    }
    file.flush()
}

pub(super) fn refuse(graph: &mut GraphProto) -> Result<(), ModelError> {
    visit(graph, &mut |tensor| Err(problem(tensor, location(tensor), "there is no directory to read it from")))
}

fn visit(
    graph: &mut GraphProto,
    f: &mut impl FnMut(&mut TensorProto) -> Result<(), ModelError>,
) -> Result<(), ModelError> {
    for tensor in graph.initializer.iter_mut().filter(|t| is_external(t)) {
        f(tensor)?;
    }
    for node in &mut graph.node {
        visit_node(node, f)?;
    }
    Ok(())
}

// Named in full, or the two would be generic over each other's closure without end.
fn visit_node(
    node: &mut NodeProto,
    f: &mut impl FnMut(&mut TensorProto) -> Result<(), ModelError>,
) -> Result<(), ModelError> {
    for attribute in &mut node.attribute {
        for tensor in attribute.t.iter_mut().chain(&mut attribute.tensors).filter(|t| is_external(t)) {
            f(tensor)?;
        }
        for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            visit(graph, f)?;
        }
    }
    Ok(())
}

fn is_external(tensor: &TensorProto) -> bool {
    tensor.data_location == DataLocation::External as i32
}

fn entry<'t>(tensor: &'t TensorProto, key: &str) -> Option<&'t str> {
    tensor.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str())
}

fn location(tensor: &TensorProto) -> &str {
    entry(tensor, "location").unwrap_or_default()
}

fn problem(tensor: &TensorProto, location: &str, problem: impl Into<String>) -> ModelError {
    ModelError::External { tensor: tensor.name.clone(), location: location.to_owned(), problem: problem.into() }
}

fn load_tensor(tensor: &mut TensorProto, directory: &Path, budget: &mut u64) -> Result<(), ModelError> {
    let location = location(tensor).to_owned();
    let fail = |tensor: &TensorProto, what: String| problem(tensor, &location, what);

    let number = |tensor: &TensorProto, key: &str| match entry(tensor, key).map(str::parse::<u64>) {
        None => Ok(None),
        Some(Ok(n)) => Ok(Some(n)),
        Some(Err(_)) => Err(fail(tensor, format!("{key} is {:?}; expected a number", entry(tensor, key)))),
    };
    let offset = number(tensor, "offset")?.unwrap_or(0);
    let declared = number(tensor, "length")?;

    let mut file = open_external(directory, &location).map_err(|what| fail(tensor, what))?;
    let size = file.metadata().map_err(|e| fail(tensor, e.to_string()))?.len();
    let left = size.checked_sub(offset).ok_or_else(|| fail(tensor, format!("offset {offset} of {size} bytes")))?;
    let length = match declared {
        Some(n) => n,
        None => expected_bytes(tensor)?.unwrap_or(left),
    };
    if length > left {
        return Err(fail(tensor, format!("{length} bytes at offset {offset}; the file has {left} there")));
    }
    *budget = budget.checked_sub(length).ok_or_else(|| {
        fail(tensor, format!("with it the model is over {MAX_MODEL_BYTES} bytes, the most that one ONNX file can hold"))
    })?;
    let mut data = vec![0; length as usize];
    file.seek(SeekFrom::Start(offset))
        .and_then(|_| file.read_exact(&mut data))
        .map_err(|e| fail(tensor, e.to_string()))?;

    tensor.raw_data = data.into();
    tensor.external_data.clear();
    tensor.data_location = DataLocation::Default as i32;
    Ok(())
}

/// Bytes of the tensor by its type and shape; `None` for types of odd width.
fn expected_bytes(tensor: &TensorProto) -> Result<Option<u64>, ModelError> {
    let width = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float | DataType::Int32 | DataType::Uint32) => 4,
        Ok(DataType::Double | DataType::Int64 | DataType::Uint64) => 8,
        Ok(DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16) => 2,
        Ok(DataType::Int8 | DataType::Uint8 | DataType::Bool) => 1,
        _ => return Ok(None),
    };
    Ok(Some((element_count(tensor)? as u64).saturating_mul(width)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(entries: &[(&str, &str)]) -> TensorProto {
        TensorProto {
            name: "w".into(),
            dims: vec![2],
            data_type: DataType::Float as i32,
            data_location: DataLocation::External as i32,
            external_data: entries
                .iter()
                .map(|(k, v)| StringStringEntryProto { key: (*k).into(), value: (*v).into() })
                .collect(),
            ..TensorProto::default()
        }
    }

    #[test]
    fn reads_inside_the_directory_and_nowhere_else() {
        let outside = tempfile::tempdir().unwrap();
        let inside = outside.path().join("model");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(outside.path().join("secret"), [0; 8]).unwrap();
        std::fs::write(inside.join("w.bin"), [7; 12]).unwrap();
        std::os::unix::fs::symlink("../secret", inside.join("link")).unwrap();

        for (entries, expected) in [
            (&[("location", "w.bin")][..], Ok(8)),
            (&[("location", "./w.bin"), ("offset", "4"), ("length", "8")], Ok(8)),
            (&[("location", "w.bin"), ("offset", "8"), ("length", "8")], Err("the file has 4 there")),
            (&[("location", "w.bin"), ("offset", "99")], Err("offset 99 of 12")),
            (&[("location", "w.bin"), ("length", "18446744073709551615")], Err("the file has 12")),
            (&[("location", "w.bin"), ("length", "-1")], Err("expected a number")),
            (&[("location", "../secret")], Err("without `..`")),
            (&[("location", "/etc/passwd")], Err("without `..`")),
            (&[("location", "link")], Err("leads outside")),
            (&[("location", "missing")], Err("No such file")),
            (&[], Err("without `..`")),
        ] {
            let mut t = tensor(entries);
            let mut budget = MAX_MODEL_BYTES;
            match (load_tensor(&mut t, &inside, &mut budget), expected) {
                (Ok(()), Ok(bytes)) => assert_eq!(t.raw_data.len(), bytes, "{entries:?}"),
                (Err(e), Err(part)) => assert!(e.to_string().contains(part), "{entries:?}: {e}"),
                (found, _) => panic!("{entries:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn larger_tensors_are_stored_and_read_again() {
        let floats = |name: &str, count: usize| TensorProto {
            name: name.into(),
            dims: vec![count as i64],
            data_type: DataType::Float as i32,
            raw_data: (0..count * 4).map(|i| i as u8).collect(),
            ..TensorProto::default()
        };
        let (less, least) = (LEAST_STORED / 4 - 1, LEAST_STORED / 4);
        let initializer = vec![floats("a", least + 1), floats("b", less), floats("c", least), floats("d", 2 * least)];
        let whole = GraphProto { initializer, ..GraphProto::default() };
        let directory = tempfile::tempdir().unwrap();
        let mut graph = whole.clone();
        store(&mut graph, directory.path()).unwrap();
        let offset = |t: &TensorProto| is_external(t).then(|| entry(t, "offset").unwrap().parse::<usize>().unwrap());
        let places: Vec<Option<usize>> = graph.initializer.iter().map(offset).collect();
        let second = LEAST_STORED + PAGE;
        assert_eq!(places, [Some(0), None, Some(second), Some(second + LEAST_STORED)]);
        assert!(load(&mut graph, directory.path()).unwrap());
        assert_eq!(graph, whole);
    }
}
