//! How long a client waits for its answer.

use std::time::{Duration, Instant};

use http::header::{HeaderMap, HeaderName};

use crate::error::ServeError;

/// gRPC's own (its protocol over HTTP/2, section "Requests"): at most eight digits, and a unit.
const GRPC: HeaderName = HeaderName::from_static("grpc-timeout");
/// What Envoy, and with it Istio and other gateways, tell of how long they will wait: milliseconds.
const ENVOY: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");

/// They say how long the user waits: a canary gets its time from the pod that sends the request on.
pub(crate) const HEADERS: [HeaderName; 2] = [GRPC, ENVOY];

/// When nobody waits any more; or never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// As the headers say, counted from `start`.
    pub(crate) fn of(headers: &HeaderMap, start: Instant) -> Result<Self, ServeError> {
        let read = |name: &HeaderName, read: fn(&str) -> Option<Duration>, expected| {
            let Some(value) = headers.get(name) else { return Ok(Self::default()) };
            let found = value.to_str().ok().and_then(|text| read(text.trim()));
            let wrong = || ServeError::Invalid(format!("{name} is {value:?}; expected {expected}"));
            found.map(|t| Self(start.checked_add(t))).ok_or_else(wrong)
        };
        let grpc = read(&GRPC, grpc, "1 to 8 digits and one of H, M, S, m, u, n")?;
        // 0: it waits for ever.
        let envoy = read(&ENVOY, |text| text.parse().ok().map(Duration::from_millis), "a number of milliseconds")?;
        Ok(grpc.or_sooner(Self(envoy.0.filter(|at| *at > start))))
    }

    /// As Triton's request parameter `timeout` says; 0: none.
    pub(crate) fn or_after(self, start: Instant, microseconds: Option<u64>) -> Self {
        let after = microseconds.filter(|t| *t > 0).and_then(|t| start.checked_add(Duration::from_micros(t)));
        self.or_sooner(Self(after))
    }

    fn or_sooner(self, other: Self) -> Self {
        Self(self.0.into_iter().chain(other.0).min())
    }

    pub(crate) fn instant(self) -> Option<Instant> {
        self.0
    }

    pub(crate) fn has_passed(self, now: Instant) -> bool {
        self.0.is_some_and(|at| at <= now)
    }
}

fn grpc(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u32 = digits.parse().ok().filter(|_| digits.len() <= 8 && !digits.starts_with('+'))?;
    let unit = match unit {
        "H" => Duration::from_hours(1),
        "M" => Duration::from_mins(1),
        "S" => Duration::from_secs(1),
        "m" => Duration::from_millis(1),
        "u" => Duration::from_micros(1),
        "n" => Duration::from_nanos(1),
        _ => return None,
    };
    unit.checked_mul(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&HeaderName, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| ((*name).clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_soonest_counts() {
        let start = Instant::now();
        for (list, timeout, expected) in [
            (&[][..], None, None),
            (&[(&GRPC, "2S")], None, Some(2_000_000)),
            (&[(&GRPC, "2S"), (&ENVOY, "1500")], None, Some(1_500_000)),
            (&[(&ENVOY, "0")], None, None),
            (&[(&ENVOY, "0")], Some(0), None),
            (&[(&GRPC, "99999999H")], Some(250), Some(250)),
            (&[(&GRPC, "100m")], Some(u64::MAX), Some(100_000)),
            (&[(&GRPC, "5u")], None, Some(5)),
        ] {
            let deadline = Deadline::of(&headers(list), start).unwrap().or_after(start, timeout);
            let expected = expected.map(|t| start + Duration::from_micros(t));
            assert_eq!(deadline.instant(), expected, "{list:?} {timeout:?}");
            assert!(!deadline.has_passed(start));
            assert_eq!(deadline.has_passed(start + Duration::from_secs(3)), expected.is_some());
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "S", "1", "1s", "-1S", "+1S", "123456789S", "1.5S", "é", "1é"] {
            let headers: HeaderMap =
                [(GRPC, http::HeaderValue::from_bytes(text.as_bytes()).unwrap())].into_iter().collect();
            let error = Deadline::of(&headers, Instant::now()).unwrap_err().to_string();
            assert!(error.contains("grpc-timeout is"), "{text}: {error}");
        }
        assert!(Deadline::of(&headers(&[(&ENVOY, "1.5")]), Instant::now()).is_err());
    }
}
