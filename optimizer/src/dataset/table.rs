use std::io::Read;
use std::path::Path;

use super::DatasetError;
use super::tree::clean;

/// Names of the two columns that are read, in the order of preference.
const PATHS: [&str; 3] = ["path", "file_name", "file"];
pub(super) const LABELS: [&str; 3] = ["label", "class", "y"];

/// An image and its label, as a CSV has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) path: String,
    pub(super) label: Option<String>,
    /// From 1.
    pub(super) line: u64,
}

/// Reads a CSV of paths and labels, with a line of names or without. `None`: it is a text of another kind.
///
/// `exists`: whether there is such a file in the directory of the CSV, which its paths begin at.
pub(super) fn read(
    from: impl Read,
    path: &Path,
    exists: &dyn Fn(&str) -> bool,
) -> Result<Option<Vec<Row>>, DatasetError> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(std::io::BufReader::new(from));
    let mut columns: Option<(usize, Option<usize>)> = None;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            // A text that is none breaks the rules of CSV in its first lines; a CSV has at least a first line that keeps them.
            Err(_) if columns.is_none() => return Ok(None),
            Err(e) => {
                let line = e.position().map_or(0, csv::Position::line);
                return Err(DatasetError::entry(path, &format!("line {line}"), e));
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        let (at, label_at) = if let Some(columns) = columns {
            columns
        } else {
            let column = |names: [&str; 3]| names.iter().find_map(|n| record.iter().position(|f| f == *n));
            if let Some(at) = column(PATHS) {
                columns = Some((at, column(LABELS)));
                continue;
            }
            if !record.get(0).and_then(clean).is_some_and(|p| exists(&p)) {
                return Ok(None);
            }
            *columns.insert((0, (record.len() > 1).then_some(1)))
        };
        let text = |at: usize| record.get(at).unwrap_or_default().to_owned();
        let label = label_at.map(text);
        if label.as_deref() == Some("") {
            return Err(DatasetError::entry(path, &format!("line {line}"), "found no label; expected a class"));
        }
        rows.push(Row { path: text(at), label, line });
    }
    Ok(columns.map(|_| rows))
}
