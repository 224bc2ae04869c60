//! Takes compressed bodies apart, both protocols' alike.

use std::fmt::Display;

use async_compression::tokio::bufread::{GzipDecoder, ZlibDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use bytes::Bytes;
use futures::TryStreamExt as _;
use http::header::{HeaderMap, HeaderName};
use http_body_util::{BodyDataStream, BodyExt as _, StreamBody};
use hyper::body::{Body, Frame};
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};

use crate::body::{self, Framing};
use crate::budget::Share;
use crate::error::ServeError;

/// What is read, in the words of `Accept-Encoding` and `grpc-accept-encoding`.
pub(crate) const ACCEPTED: &str = "gzip, deflate, zstd";

/// The largest window that a sender of zstd may count on (RFC 9659). A header of a few bytes can ask for far more.
const ZSTD_WINDOW_LOG: u32 = 23;
/// How much comes out at a time.
const PIECE: usize = 16 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Gzip,
    /// In zlib's format (RFC 9110, section 8.4.1.2).
    Deflate,
    Zstd,
}

impl Encoding {
    /// `None`: the body is as it is.
    pub(crate) fn of(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, ServeError> {
        let Some(value) = headers.get(name) else { return Ok(None) };
        let several = headers.get_all(name).iter().count() > 1;
        match value.to_str().unwrap_or("?").trim().to_ascii_lowercase().as_str() {
            "" | "identity" if !several => Ok(None),
            "gzip" | "x-gzip" if !several => Ok(Some(Self::Gzip)),
            "deflate" if !several => Ok(Some(Self::Deflate)),
            "zstd" if !several => Ok(Some(Self::Zstd)),
            _ => Err(ServeError::Encoded(String::from_utf8_lossy(value.as_bytes()).into_owned())),
        }
    }

    /// Bytes that the decoder needs beside what comes out.
    fn window(self) -> usize {
        match self {
            Self::Gzip | Self::Deflate => 64 << 10,
            Self::Zstd => 1 << ZSTD_WINDOW_LOG,
        }
    }

    /// The body as it was before, which is taken only as far as `limit` and `share` allow: it can be a thousand times as large.
    pub(crate) async fn read(
        self,
        body: &mut (impl Body<Data = Bytes, Error: Display> + Unpin + Send),
        limit: usize,
        share: &mut Share,
    ) -> Result<Bytes, ServeError> {
        let mut window = share.beside();
        window.hold(self.window())?;
        let mut whole = window.beside();
        let compressed = BodyDataStream::new(body.map_err(|e| std::io::Error::other(e.to_string())));
        let compressed = StreamReader::new(compressed);
        let data = match self {
            Self::Gzip => {
                let mut decoder = GzipDecoder::new(compressed);
                decoder.multiple_members(true);
                read(decoder, limit, &mut whole).await?
            }
            Self::Deflate => read(ZlibDecoder::new(compressed), limit, &mut whole).await?,
            Self::Zstd => {
                let limits = [DParameter::window_log_max(ZSTD_WINDOW_LOG)];
                let mut decoder = ZstdDecoder::with_params(compressed, &limits);
                decoder.multiple_members(true);
                read(decoder, limit, &mut whole).await?
            }
        };
        share.absorb(whole);
        Ok(data)
    }
}

async fn read(decoder: impl AsyncRead + Unpin, limit: usize, share: &mut Share) -> Result<Bytes, ServeError> {
    let mut body = StreamBody::new(ReaderStream::with_capacity(decoder, PIECE).map_ok(Frame::data));
    // The compressed length says nothing of what comes out.
    body::read(&mut body, &HeaderMap::new(), Framing::Http, limit, share).await
}

#[cfg(test)]
mod tests;
