//! Takes the large arrays of a request out of its JSON, so that serde_json need not look at each of their digits.

use memchr::{memchr, memchr2, memchr3_iter};

use super::request::MAX_RANK;

/// A smaller array costs less than this.
const WORTH: usize = 4 << 10;
/// The rest is copied; more than that is no rest.
const MOST_REST: usize = 64 << 10;
const PLACEHOLDER: u8 = b'0';

/// JSON, and the values of its members `data` that are arrays without strings in them. That they are JSON is yet to be found.
#[derive(Debug, Default)]
pub(super) struct Cut<'a> {
    /// With [`PLACEHOLDER`] in the place of each.
    pub(super) rest: Vec<u8>,
    /// Where each placeholder is, and what it stands for.
    arrays: Vec<(usize, &'a [u8])>,
}

/// `None`: it is not worth it, or not like JSON.
pub(super) fn cut(json: &[u8]) -> Option<Cut<'_>> {
    if json.len() < WORTH {
        return None;
    }
    let (mut found, mut at, mut kept) = (Vec::new(), 0, json.len());
    while let Some(start) = memchr(b'"', json.get(at..)?).map(|i| at + i) {
        at = string_end(json, start)?;
        let is_data = json.get(start..at)? == b"\"data\"";
        let Some(start) = is_data.then(|| array_behind_colon(json, at)).flatten() else { continue };
        let Some(end) = array_end(json, start).filter(|end| end - start >= WORTH) else { continue };
        kept -= end - start;
        found.push((start, end));
        at = end;
    }
    if found.is_empty() || kept > MOST_REST {
        return None;
    }
    let (mut cut, mut copied) = (Cut::default(), 0);
    for (start, end) in found {
        cut.rest.extend_from_slice(json.get(copied..start)?);
        cut.arrays.push((cut.rest.len(), json.get(start..end)?));
        cut.rest.push(PLACEHOLDER);
        copied = end;
    }
    cut.rest.extend_from_slice(json.get(copied..)?);
    Some(cut)
}

impl<'a> Cut<'a> {
    /// What a part of the rest stands for, if it is a placeholder and nothing else: behind an array `e5` is no JSON, behind a 0 it is.
    pub(super) fn array(&self, part: &str) -> Option<&'a [u8]> {
        if part.len() != 1 {
            return None;
        }
        let at = part.as_ptr().addr().checked_sub(self.rest.as_ptr().addr())?;
        self.arrays.iter().find(|(placeholder, _)| *placeholder == at).map(|(_, array)| *array)
    }

    pub(super) fn len(&self) -> usize {
        self.arrays.len()
    }
}

/// Behind the closing quote of the string that begins at `start`.
fn string_end(json: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr2(b'"', b'\\', json.get(at..)?)?;
        if json.get(at) == Some(&b'"') {
            return Some(at + 1);
        }
        // Whatever is escaped, a quote among it.
        at += 2;
    }
}

fn array_behind_colon(json: &[u8], at: usize) -> Option<usize> {
    let is_space = |b: &u8| matches!(b, b' ' | b'\n' | b'\r' | b'\t');
    let colon = at + json.get(at..)?.iter().position(|b| !is_space(b))?;
    let behind = json.get(colon..)?.strip_prefix(b":")?;
    let value = colon + 1 + behind.iter().position(|b| !is_space(b))?;
    (json.get(value) == Some(&b'[')).then_some(value)
}

/// Behind the bracket that closes the one at `start`; `None` where there are strings between them, which may have brackets too, or more
/// brackets than any tensor has.
fn array_end(json: &[u8], start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for i in memchr3_iter(b'[', b']', b'"', json.get(start..)?) {
        match json.get(start + i)? {
            b'[' if depth == MAX_RANK => return None,
            b'[' => depth += 1,
            b']' if depth == 1 => return Some(start + i + 1),
            b']' => depth -= 1,
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rest, and what stands for what in it.
    fn parts(json: &str) -> Option<(String, Vec<usize>)> {
        let cut = cut(json.as_bytes())?;
        let rest = String::from_utf8(cut.rest.clone()).unwrap();
        for (i, character) in rest.match_indices('0') {
            let array = cut.array(&std::str::from_utf8(&cut.rest).unwrap()[i..=i]);
            assert!(array.is_none_or(|a| a.starts_with(b"[") && a.ends_with(b"]")), "{character}");
        }
        Some((rest, cut.arrays.iter().map(|(at, _)| *at).collect()))
    }

    #[test]
    fn what_goes_on_behind_the_array_is_no_placeholder() {
        let array = format!("[{}1]", "1,".repeat(3000));
        for more in ["e5", "E+3", ".5"] {
            let json = format!(r#"{{"data":{array}{more}}}"#);
            let cut = cut(json.as_bytes()).unwrap();
            let rest = std::str::from_utf8(&cut.rest).unwrap();
            assert_eq!(rest, format!(r#"{{"data":0{more}}}"#));
            assert_eq!((cut.array(&rest[8..=8]), cut.array(&rest[8..=8 + more.len()])), (Some(array.as_bytes()), None));
        }
    }

    #[test]
    fn large_arrays_of_data_are_cut_out() {
        let (array, texts) = (format!("[[{}1]]", "1, ".repeat(2000)), format!("[{}\"]\"]", "\"[\",".repeat(2000)));
        for (json, rest, places) in [
            (format!(r#"{{"data":{array}}}"#), r#"{"data":0}"#, vec![8]),
            (format!("{{\"data\" :\n {array} }}"), "{\"data\" :\n 0 }", vec![11]),
            (
                format!(r#"{{"a\"data":1,"data":{array},"b":"data","data":{array}}}"#),
                r#"{"a\"data":1,"data":0,"b":"data","data":0}"#,
                vec![20, 40],
            ),
            (format!(r#"{{"data":{array},"x":{{"data":[1]}}}}"#), r#"{"data":0,"x":{"data":[1]}}"#, vec![8]),
        ] {
            assert_eq!(parts(&json), Some((rest.to_owned(), places)), "{rest}");
        }
        for json in [
            format!(r#"{{"data":{texts}}}"#),
            format!(r#"{{"other":{array}}}"#),
            format!(r#"{{"data":{}"#, "[".repeat(10_000)),
            format!(r#"{{"data":[{}"#, "1,".repeat(5000)),
            format!(r#"{{"data":{array},"x":"{}"}}"#, "y".repeat(MOST_REST)),
            format!(r#"{{"data":{array},"no end"#),
            format!(r#"{{"data":{array},"\"#),
            r#"{"data":[1,2]}"#.to_owned(),
        ] {
            assert_eq!(parts(&json), None, "{}", &json[..30.min(json.len())]);
        }
    }
}
