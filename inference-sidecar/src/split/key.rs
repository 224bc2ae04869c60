//! What of a request decides where it goes.

use drydock_contract::RequestKey;
use http::header::{COOKIE, HeaderMap};
use sha2::{Digest as _, Sha256};

/// The value that a request has for a key, if it has one that is not empty.
pub(super) fn find<'a>(headers: &'a HeaderMap, key: &RequestKey) -> Option<&'a [u8]> {
    let found = match key {
        RequestKey::Header(name) => headers.get(name.as_str())?.as_bytes(),
        // `a=1; b=2`, in one header or, over HTTP/2, in several (RFC 6265 section 4.2.1, RFC 9113 section 8.2.3).
        RequestKey::Cookie(name) => headers
            .get_all(COOKIE)
            .iter()
            .flat_map(|line| line.as_bytes().split(|b| *b == b';'))
            .find_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))?,
    };
    Some(found).filter(|value| !value.is_empty())
}

/// The hundredth of all values that this one is in: `floor(100 · h / 2^64)`, where h is the first 8 bytes, big-endian, of the SHA-256
/// of the salt, a zero byte and the value. The canary gets the hundredths below its weight, so one that it has it keeps when
/// the weight rises.
///
/// It must never change: two pods of different versions would send one user two ways.
pub(super) fn bucket(salt: &str, value: &[u8]) -> u8 {
    let digest = Sha256::new().chain_update(salt).chain_update([0_u8]).chain_update(value).finalize();
    let head = digest.iter().take(8).fold(0_u64, |head, byte| (head << 8) | u64::from(*byte));
    // Below 100.
    ((u128::from(head) * 100) >> 64) as u8
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_header_or_one_of_the_cookies() {
        let mut headers = HeaderMap::new();
        headers.insert("x-user", HeaderValue::from_static("ada"));
        headers.insert("x-empty", HeaderValue::from_static(""));
        headers.append(COOKIE, HeaderValue::from_static("theme=dark; session-old=1;session=a=b"));
        headers.append(COOKIE, HeaderValue::from_static("other=2"));
        let header = |name: &str| RequestKey::Header(name.into());
        let cookie = |name: &str| RequestKey::Cookie(name.into());
        for (key, value) in [
            (header("x-user"), Some("ada")),
            (header("X-User"), Some("ada")),
            (header("x-empty"), None),
            (header("x-none"), None),
            (header("no name at all"), None),
            (cookie("session"), Some("a=b")),
            (cookie("theme"), Some("dark")),
            (cookie("other"), Some("2")),
            (cookie("sess"), None),
            (cookie("dark"), None),
        ] {
            assert_eq!(find(&headers, &key), value.map(str::as_bytes), "{key:?}");
        }
    }

    /// Computed by Python's hashlib; see docs/rollouts.md.
    #[test]
    fn the_hash_is_what_it_was() {
        for (salt, value, expected) in [
            ("r2", "ada", 23),
            ("r2", "grace", 59),
            ("r2", "", 14),
            ("r2", "user-1", 33),
            ("r3", "ada", 0),
            ("r3", "grace", 21),
        ] {
            assert_eq!(bucket(salt, value.as_bytes()), expected, "{salt} {value}");
        }
    }

    /// Names as people give them: numbers in a row, with a prefix. Pearson's chi-square over the hundred buckets, against its quantile of
    /// 0.999999 at 99 degrees of freedom by Wilson and Hilferty's approximation: a hash that is uniform is over it once in a million.
    #[test]
    fn values_are_spread_evenly() {
        const VALUES: u32 = 100_000;
        for (salt, prefix) in [("r2", "user-"), ("0a1b2c3d4e", ""), ("r3", "session=00000000-")] {
            let mut counts = [0_u32; 100];
            for n in 0..VALUES {
                counts[usize::from(bucket(salt, format!("{prefix}{n}").as_bytes()))] += 1;
            }
            let expected = f64::from(VALUES) / 100.0;
            let statistic: f64 = counts.iter().map(|c| (f64::from(*c) - expected).powi(2) / expected).sum();
            assert!(statistic < 181.0, "{salt} {prefix}: {statistic}");
        }
    }

    /// Who is in the canary of one rollout must not be who is in the next one's.
    #[test]
    fn another_salt_draws_anew() {
        let in_both = (0..10_000).filter(|n: &u32| {
            let value = n.to_string();
            bucket("r2", value.as_bytes()) < 10 && bucket("r3", value.as_bytes()) < 10
        });
        let count = in_both.count();
        // 100 expected, standard deviation 10.
        assert!((50..150).contains(&count), "{count}");
    }
}
