/// The value of a Kubernetes quantity: `500m` is 0.5, `2Gi` is 2147483648. `None` for what is no quantity.
pub fn value(text: &str) -> Option<f64> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024f64.powi(2),
        "Gi" => 1024f64.powi(3),
        "Ti" => 1024f64.powi(4),
        "Pi" => 1024f64.powi(5),
        "Ei" => 1024f64.powi(6),
        exponent => {
            let digits = exponent.strip_prefix(['e', 'E'])?;
            10f64.powi(digits.parse().ok()?)
        }
    };
    let value = number * factor;
    value.is_finite().then_some(value)
}

/// Equal by value: `0.5` and `500m`.
pub fn equal(a: &str, b: &str) -> bool {
    match (value(a), value(b)) {
        // Decimal suffixes are not exact in binary.
        (Some(a), Some(b)) => (a - b).abs() <= f64::EPSILON * 4.0 * a.abs().max(b.abs()),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_value() {
        for (a, b) in
            [("0.5", "500m"), ("1", "1000m"), ("1Gi", "1024Mi"), ("2G", "2e9"), ("1E3", "1k"), ("100m", "0.1")]
        {
            assert!(equal(a, b), "{a} {b}");
        }
        for (a, b) in [("1", "1001m"), ("1G", "1Gi"), ("", "0"), ("abc", "abd"), ("1Gi", "1Gb")] {
            assert!(!equal(a, b), "{a} {b}");
        }
        for bad in ["", "Gi", "1.2.3", "1x", "e", "1e", "--1"] {
            assert_eq!(value(bad), None, "{bad}");
        }
    }
}
