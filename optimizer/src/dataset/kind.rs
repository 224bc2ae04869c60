use std::io::Read;

/// Enough to tell a file by: a header of tar.
const HEAD: u64 = 512;

/// What a file holds, told by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Npy,
    Zip,
    Parquet,
    Tar,
    Gzip,
    Image,
    Text,
    Json,
    Other,
}

impl Kind {
    pub(super) fn read(from: impl Read) -> std::io::Result<Self> {
        let mut head = Vec::new();
        from.take(HEAD).read_to_end(&mut head)?;
        Ok(Self::of(&head))
    }

    fn of(head: &[u8]) -> Self {
        let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|h| h.starts_with(magic));
        if at(0, b"\x93NUMPY") {
            Self::Npy
        } else if at(0, b"PK\x03\x04") || at(0, b"PK\x05\x06") {
            Self::Zip
        } else if at(0, b"PAR1") {
            Self::Parquet
        } else if at(257, b"ustar") {
            Self::Tar
        } else if at(0, b"\x1F\x8B") {
            Self::Gzip
        } else if at(0, b"\xFF\xD8\xFF") || at(0, b"\x89PNG") || (at(0, b"RIFF") && at(8, b"WEBP")) {
            Self::Image
        } else if is_text(head) {
            if head.trim_ascii_start().starts_with(b"{") { Self::Json } else { Self::Text }
        } else {
            Self::Other
        }
    }

    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Npy => "a NumPy array",
            Self::Zip => "a zip or .npz file",
            Self::Parquet => "a Parquet file",
            Self::Tar => "a tar file",
            Self::Gzip => "a gzip file",
            Self::Image => "an image",
            Self::Text => "text",
            Self::Json => "JSON",
            Self::Other => "a file of another kind",
        }
    }
}

fn is_text(head: &[u8]) -> bool {
    // The head may end within a character.
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(e) if e.error_len().is_none() => std::str::from_utf8(&head[..e.valid_up_to()]).unwrap_or_default(),
        Err(_) => return false,
    };
    !valid.is_empty() && valid.chars().all(|c| !c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_by_content() {
        for (head, kind) in [
            (&b"\x93NUMPY\x01\x00"[..], Kind::Npy),
            (b"PK\x03\x04....", Kind::Zip),
            (b"PAR1\x15", Kind::Parquet),
            (b"\x1F\x8B\x08", Kind::Gzip),
            (b"\xFF\xD8\xFF\xE0", Kind::Image),
            (b"RIFF\x10\0\0\0WEBPVP8 ", Kind::Image),
            (b"path,label\na.png,3\n", Kind::Text),
            ("caf\u{e9}".as_bytes(), Kind::Text),
            (&"caf\u{e9}".as_bytes()[..4], Kind::Text),
            (b"\n {\"images\": [", Kind::Json),
            (b"", Kind::Other),
            (b"\x00\x01", Kind::Other),
        ] {
            assert_eq!(Kind::of(head), kind, "{head:?}");
        }
    }
}
