use async_compression::Level;
use async_compression::tokio::bufread::{GzipEncoder, ZlibEncoder, ZstdEncoder};
use async_compression::zstd::CParameter;
use http::header::{CONTENT_ENCODING, HeaderValue};
use http_body_util::Full;
use tokio::io::AsyncReadExt as _;

use super::*;
use crate::budget::Budget;

const MIB: usize = 1 << 20;

async fn all(mut reader: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut data = Vec::new();
    reader.read_to_end(&mut data).await.unwrap();
    data
}

async fn compress(encoding: Encoding, data: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::Gzip => all(GzipEncoder::new(data)).await,
        Encoding::Deflate => all(ZlibEncoder::new(data)).await,
        Encoding::Zstd => all(ZstdEncoder::new(data)).await,
    }
}

async fn decompress(encoding: Encoding, data: Vec<u8>, limit: usize, budget: usize) -> Result<Bytes, ServeError> {
    encoding.read(&mut Full::new(Bytes::from(data)), limit, &mut Budget::new(budget).share()).await
}

const ALL: [Encoding; 3] = [Encoding::Gzip, Encoding::Deflate, Encoding::Zstd];

#[tokio::test]
async fn what_was_compressed_comes_back() {
    let data: Vec<u8> = (0..300_000_u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
    for encoding in ALL {
        for data in [&data[..], b"x", b""] {
            let compressed = compress(encoding, data).await;
            assert_eq!(decompress(encoding, compressed, 2 * MIB, 16 * MIB).await.unwrap(), data, "{encoding:?}");
        }
        // As gzip and zstd are often written: one piece after another.
        if encoding != Encoding::Deflate {
            let twice = [compress(encoding, b"ab").await, compress(encoding, b"cd").await].concat();
            assert_eq!(decompress(encoding, twice, MIB, 16 * MIB).await.unwrap(), b"abcd".as_slice(), "{encoding:?}");
        }
    }
}

#[tokio::test]
async fn bombs_are_refused_where_the_limit_is() {
    let zeros = vec![0; 20 * MIB];
    for encoding in ALL {
        let bomb = compress(encoding, &zeros).await;
        assert!(bomb.len() < MIB / 16, "{encoding:?}: {}", bomb.len());
        let error = decompress(encoding, bomb.clone(), MIB, 32 * MIB).await.unwrap_err();
        assert_eq!(error, ServeError::TooLarge { limit: MIB }, "{encoding:?}");
        // Below the limit of one body, but over what is left for all.
        let error = decompress(encoding, bomb, 100 * MIB, 16 * MIB).await.unwrap_err();
        assert!(matches!(error, ServeError::TooMuchMemory { .. }), "{encoding:?}: {error}");
    }
}

#[tokio::test]
async fn what_is_not_compressed_or_cut_off_is_refused() {
    for encoding in ALL {
        let whole = compress(encoding, &[7; 1000]).await;
        for data in [b"no such thing".to_vec(), whole[..whole.len() - 3].to_vec()] {
            let error = decompress(encoding, data, MIB, 16 * MIB).await.unwrap_err();
            assert!(error.to_string().contains("could not be read to its end"), "{encoding:?}: {error}");
        }
    }
}

#[tokio::test]
async fn a_window_is_held_and_bounded() {
    let error = decompress(Encoding::Zstd, compress(Encoding::Zstd, b"x").await, MIB, 4 * MIB).await.unwrap_err();
    assert!(matches!(error, ServeError::TooMuchMemory { .. }), "{error}");
    // A frame that wants a window of 64 MiB.
    let wide = [CParameter::window_log(26)];
    let data = vec![1; 1000];
    let frame = all(ZstdEncoder::with_quality_and_params(&data[..], Level::Default, &wide)).await;
    let error = decompress(Encoding::Zstd, frame, MIB, 16 * MIB).await.unwrap_err();
    assert!(error.to_string().contains("could not be read to its end"), "{error}");
}

#[test]
fn encodings_are_named_in_the_header() {
    let of = |values: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        Encoding::of(&headers, &CONTENT_ENCODING)
    };
    assert_eq!((of(&[]), of(&["identity"]), of(&[""])), (Ok(None), Ok(None), Ok(None)));
    assert_eq!((of(&["gzip"]), of(&["GZip"])), (Ok(Some(Encoding::Gzip)), Ok(Some(Encoding::Gzip))));
    assert_eq!((of(&["deflate"]), of(&["zstd"])), (Ok(Some(Encoding::Deflate)), Ok(Some(Encoding::Zstd))));
    for unknown in [&["br"][..], &["gzip, gzip"], &["gzip", "gzip"], &["identity", "gzip"]] {
        assert!(matches!(of(unknown), Err(ServeError::Encoded(_))), "{unknown:?}");
    }
}
