use std::path::Path;

use parquet::basic::{ConvertedType, Type};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

use crate::dataset::DatasetError;
use crate::dataset::table::LABELS;

/// Names of the column of inputs, where several could be.
const INPUTS: [&str; 3] = ["image", "img", "x"];

/// Index of the leaf column of inputs, and of labels if there are any.
pub(super) fn columns(path: &Path, schema: &SchemaDescriptor) -> Result<(usize, Option<usize>), DatasetError> {
    let leaves = || schema.columns().iter().enumerate();
    let root = |c: &ColumnDescriptor| c.path().parts().first().cloned().unwrap_or_default();
    let inputs: Vec<usize> = leaves().filter(|(_, c)| is_input(c)).map(|(i, _)| i).collect();
    let named = INPUTS.iter().find_map(|n| inputs.iter().find(|i| root(schema.columns()[**i].as_ref()) == *n));
    let input = match (inputs.as_slice(), named) {
        ([one], _) => *one,
        (_, Some(named)) => *named,
        _ => {
            let columns: Vec<String> =
                leaves().map(|(_, c)| format!("{} {}", c.path().string(), c.physical_type())).collect();
            return Err(DatasetError::Shape {
                path: path.to_owned(),
                found: format!("the columns {}", columns.join(", ")),
                expected: "one column of images (binary, or a struct with `bytes`) or lists of numbers; of several, one called \
                           `image`, `img` or `x`"
                    .into(),
            });
        }
    };
    let label = LABELS.iter().find_map(|n| leaves().find(|(_, c)| is_label(c) && root(c) == *n));
    Ok((input, label.map(|(i, _)| i)))
}

fn is_text(column: &ColumnDescriptor) -> bool {
    column.converted_type() == ConvertedType::UTF8
}

fn is_input(column: &ColumnDescriptor) -> bool {
    let number = matches!(column.physical_type(), Type::INT32 | Type::INT64 | Type::FLOAT | Type::DOUBLE);
    let encoded = column.physical_type() == Type::BYTE_ARRAY && !is_text(column);
    let struct_field = column.path().parts().len() == 1 || column.name() == "bytes";
    match column.max_rep_level() {
        0 => encoded && struct_field,
        _ => number,
    }
}

fn is_label(column: &ColumnDescriptor) -> bool {
    let class = match column.physical_type() {
        Type::INT32 | Type::INT64 => true,
        Type::BYTE_ARRAY => is_text(column),
        _ => false,
    };
    class && column.path().parts().len() == 1 && column.max_rep_level() == 0
}
