use std::fmt;

/// One dimension, or one number of a calculation with dimensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    Size(i64),
    /// Not known, and equal wherever the name is: a batch, for example.
    Symbol(String),
    Unknown,
}

impl Dim {
    pub fn size(&self) -> Option<i64> {
        match self {
            Self::Size(n) => Some(*n),
            _ => None,
        }
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(n) => write!(f, "{n}"),
            Self::Symbol(name) => f.write_str(name),
            Self::Unknown => f.write_str("?"),
        }
    }
}

impl From<Option<i64>> for Dim {
    fn from(size: Option<i64>) -> Self {
        size.map_or(Self::Unknown, Self::Size)
    }
}

/// As a person writes a shape.
pub(super) fn text(shape: &[Dim]) -> String {
    let dims: Vec<String> = shape.iter().map(Dim::to_string).collect();
    format!("[{}]", dims.join(", "))
}

pub(super) fn overflow() -> String {
    "a dimension over 2^63; expected shapes that fit".to_owned()
}

/// The product; `None` if a factor is not known.
pub(super) fn product(dims: &[Dim]) -> Result<Option<i64>, String> {
    // A zero hides whatever the others are, and what does not fit too.
    if dims.contains(&Dim::Size(0)) {
        return Ok(Some(0));
    }
    let mut n = 1_i64;
    let mut known = true;
    for dim in dims {
        match dim {
            Dim::Size(d) => n = n.checked_mul(*d).ok_or_else(overflow)?,
            _ => known = false,
        }
    }
    Ok(known.then_some(n))
}

/// Two dimensions that must be equal: the better known of them.
pub(super) fn same(a: &Dim, b: &Dim) -> Option<Dim> {
    match (a, b) {
        (Dim::Size(x), Dim::Size(y)) if x != y => None,
        (Dim::Symbol(_) | Dim::Unknown, Dim::Size(_)) | (Dim::Unknown, Dim::Symbol(_)) => Some(b.clone()),
        _ => Some(a.clone()),
    }
}

/// <https://github.com/onnx/onnx/blob/main/docs/Broadcasting.md>
pub(super) fn broadcast(a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, String> {
    let rank = a.len().max(b.len());
    let at = |shape: &'_ [Dim], i: usize| (i + shape.len()).checked_sub(rank).map(|i| shape[i].clone());
    (0..rank)
        .map(|i| {
            let (x, y) = (at(a, i).unwrap_or(Dim::Size(1)), at(b, i).unwrap_or(Dim::Size(1)));
            Ok(match (&x, &y) {
                _ if x == y => x,
                (Dim::Size(left), Dim::Size(right)) if *left != 1 && *right != 1 => {
                    return Err(format!("shapes {} and {}, which do not broadcast", text(a), text(b)));
                }
                // Of a size that is not 1 the other is either 1 or the same.
                (Dim::Size(size), _) => {
                    if *size == 1 {
                        y
                    } else {
                        x
                    }
                }
                (_, Dim::Size(size)) => {
                    if *size == 1 {
                        x
                    } else {
                        y
                    }
                }
                _ => Dim::Unknown,
            })
        })
        .collect()
}
