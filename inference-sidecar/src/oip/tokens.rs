//! The parts of JSON that serde_json has found to be JSON already.

/// Brackets, and what stands between them and commas.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.bytes().position(|b| !is_between(b))?;
        rest = rest.get(start..)?;
        let length = match rest.bytes().next()? {
            b'[' | b']' => 1,
            b'"' => string_length(rest),
            b'{' => object_length(rest),
            _ => rest.bytes().position(|b| b == b']' || is_between(b)).unwrap_or(rest.len()),
        };
        let (token, behind) = rest.split_at_checked(length)?;
        rest = behind;
        Some(token)
    })
}

fn is_between(byte: u8) -> bool {
    matches!(byte, b',' | b' ' | b'\n' | b'\r' | b'\t')
}

/// Of the string that `text` begins with, its quotes too.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|b| {
        let ends = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

/// Of the object that `text` begins with, what is inside of it included.
fn object_length(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'"' => {
                at += text.get(at..).map_or(1, string_length);
                continue;
            }
            b'{' => depth += 1,
            b'}' if depth == 1 => return at + 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// The shape of nested arrays, by the first of each: [`super::read_data`] finds out whether the others are like it.
pub(crate) fn shape_of(text: &str, max_rank: usize) -> Result<Vec<i64>, String> {
    let (mut shape, mut open) = (Vec::new(), Vec::new());
    for token in tokens(text) {
        if token == "]" {
            let (depth, members) = (open.len(), open.pop().unwrap_or_default());
            if let Some(dimension @ -1) = shape.get_mut(depth.saturating_sub(1)) {
                *dimension = members;
            }
            continue;
        }
        if let Some(members) = open.last_mut() {
            *members += 1;
        }
        if token == "[" {
            open.push(0);
            if open.len() > max_rank {
                return Err(format!("the data is nested deeper than {max_rank} arrays"));
            }
            if open.len() > shape.len() {
                shape.push(-1);
            }
        }
    }
    Ok(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_those_of_the_first_members() {
        for (text, shape) in [
            ("7", &[][..]),
            ("[]", &[0]),
            ("[1,2,3]", &[3]),
            ("[[1,2],[3,4],[5,6]]", &[3, 2]),
            ("[[[1]],[[2],[3]]]", &[2, 1, 1]),
            ("[[],[1,2]]", &[2, 0]),
            ("[\"]\",\"[\"]", &[2]),
            ("[{\"b64\":\"}]\"},{}]", &[2]),
            ("[{\"a\":{\"b\":[{}]}},{}]", &[2]),
            ("[1,[2]]", &[2, 1]),
        ] {
            assert_eq!(shape_of(text, 8).as_deref(), Ok(shape), "{text}");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(shape_of(&deep, 8).unwrap_err().contains("deeper than 8"));
    }
}
