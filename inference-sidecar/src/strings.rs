//! `BYTES` tensors as the binary tensor extension has them, and this server too: each element is its length, 4 bytes
//! little-endian, and then itself.
//!
//! ONNX strings are UTF-8, and ONNX Runtime takes them to end at the first NUL: other bytes are refused, not changed.

/// Bytes of an element's length.
pub(crate) const PREFIX: usize = 4;
/// What the engine's call takes for an element beside thrice its bytes: three strings, a slice and a pointer.
const OVERHEAD: usize = 160;

pub(crate) fn push(data: &mut Vec<u8>, element: &[u8]) -> Result<(), String> {
    let length = u32::try_from(element.len()).map_err(|_| "a string is longer than 4 GiB".to_owned())?;
    data.extend_from_slice(&length.to_le_bytes());
    data.extend_from_slice(element);
    Ok(())
}

/// The elements; the last is an error if it is cut off.
pub(crate) fn elements(mut data: &[u8]) -> impl Iterator<Item = Result<&[u8], String>> {
    std::iter::from_fn(move || {
        if data.is_empty() {
            return None;
        }
        let element = data.split_first_chunk().and_then(|(length, rest)| {
            let (element, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            data = rest;
            Some(element)
        });
        Some(element.ok_or_else(|| {
            let left = data.len();
            data = &[];
            format!("the last string is cut off: {left} bytes are left for its length and itself")
        }))
    })
}

/// The elements as text.
pub(crate) fn texts(data: &[u8]) -> Result<Vec<&str>, String> {
    let text = |(i, element): (usize, Result<_, _>)| {
        let text = std::str::from_utf8(element?).map_err(|e| format!("string {i} is no UTF-8: {e}"))?;
        if text.contains('\0') {
            Err(format!("string {i} has a NUL byte, which ONNX strings cannot have"))
        } else {
            Ok(text)
        }
    };
    elements(data).enumerate().map(text).collect()
}

/// Whether the data is so many elements that the engine can take.
pub(crate) fn check(data: &[u8], expected: usize) -> Result<(), String> {
    let found = texts(data)?.len();
    if found == expected { Ok(()) } else { Err(format!("data has {found} strings; expected {expected}")) }
}

/// Bytes that the engine's copies of the elements take.
pub(crate) fn memory(data: &[u8]) -> usize {
    (data.len() / PREFIX)
        .min(elements(data).count())
        .saturating_mul(OVERHEAD)
        .saturating_add(data.len().saturating_mul(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut data = Vec::new();
        for text in ["", "a", "zwölf", "x:y"] {
            push(&mut data, text.as_bytes()).unwrap();
        }
        assert_eq!(texts(&data), Ok(vec!["", "a", "zwölf", "x:y"]));
        assert_eq!(check(&data, 4), Ok(()));
        assert_eq!(memory(&data), 4 * OVERHEAD + 3 * data.len());
    }

    #[test]
    fn what_is_no_list_of_strings_is_refused() {
        for (data, message) in [
            (&[1, 0, 0][..], "cut off: 3 bytes"),
            (&[2, 0, 0, 0, b'a'], "cut off: 5 bytes"),
            (&[255, 255, 255, 255, b'a'], "cut off: 5 bytes"),
            (&[1, 0, 0, 0, 0xff], "string 0 is no UTF-8"),
            (&[0, 0, 0, 0, 1, 0, 0, 0, 0], "string 1 has a NUL"),
            (&[0, 0, 0, 0, 0, 0, 0, 0], "2 strings; expected 1"),
            (&[], "0 strings; expected 1"),
        ] {
            let error = check(data, 1).unwrap_err();
            assert!(error.contains(message), "{data:?}: {error}");
        }
    }
}
