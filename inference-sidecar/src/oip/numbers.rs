//! JSON arrays of numbers to float32, in one pass.
//!
//! A large tensor is mostly digits, and to find out that they are JSON costs as much as to read them. This does both: it takes what
//! RFC 8259 allows, and leaves all else to others, who can say what is wrong with it.

use super::data::Nesting;

/// The little-endian bytes of `elements` numbers in arrays as deep and as long as `shape` says, or flat; `None`: it is something else, or a
/// number has no place in float32.
pub(super) fn read(text: &[u8], shape: &[i64], elements: usize) -> Option<Vec<u8>> {
    let (mut rest, mut nesting, mut depth, mut left) = (text, Nesting::new(shape), 0_usize, elements);
    // An element takes two characters at least.
    let mut data = Vec::with_capacity(elements.min(text.len() / 2 + 1).saturating_mul(size_of::<f32>()));
    loop {
        rest = behind_space(rest);
        if let [b'[', behind @ ..] = rest {
            nesting.open().ok()?;
            (depth, rest) = (depth + 1, behind_space(behind));
            if rest.first() != Some(&b']') {
                continue;
            }
        } else {
            let (value, behind) = number(rest)?;
            left = left.checked_sub(1)?;
            data.extend_from_slice(&value.to_le_bytes());
            nesting.count();
            rest = behind;
        }
        // A value is behind us: the end of its array, or the next one.
        loop {
            if rest.first() != Some(&b',') {
                rest = behind_space(rest);
            }
            match rest {
                [] if depth == 0 && left == 0 => return Some(data),
                [b']', behind @ ..] => {
                    nesting.close().ok()?;
                    (depth, rest) = (depth.checked_sub(1)?, behind);
                }
                [b',', behind @ ..] if depth > 0 => {
                    rest = behind;
                    break;
                }
                _ => return None,
            }
        }
    }
}

fn behind_space(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\n' | b'\r' | b'\t', behind @ ..] = text {
        text = behind;
    }
    text
}

/// The number that the text begins with, rounded to the nearest float32, and what is behind it.
fn number(text: &[u8]) -> Option<(f32, &[u8])> {
    // Nobody can guess the sign of a tensor's numbers, nor how many digits they end with: no branches on them.
    let negative = text.first() == Some(&b'-');
    let unsigned = text.get(usize::from(negative)..)?;
    let (mut mantissa, mut rest) = match unsigned {
        // Mostly there is one.
        [digit @ b'0'..=b'9', b'.', ..] => (u64::from(digit - b'0'), unsigned.get(1..)?),
        _ => digits(0, unsigned),
    };
    let whole = unsigned.len() - rest.len();
    if whole == 0 || whole > 1 && unsigned.first() == Some(&b'0') {
        return None;
    }
    let mut fraction = 0;
    if let [b'.', behind @ ..] = rest {
        (mantissa, rest) = digits(mantissa, behind);
        fraction = behind.len() - rest.len();
        if fraction == 0 {
            return None;
        }
    }
    let mut power = false;
    if let [b'e' | b'E', behind @ ..] = rest {
        let unsigned = behind.strip_prefix(b"-").or(behind.strip_prefix(b"+")).unwrap_or(behind);
        (_, rest) = digits(0, unsigned);
        if rest.len() == unsigned.len() {
            return None;
        }
        power = true;
    }
    let short = whole + fraction <= MOST_DIGITS && !power;
    if let Some(value) = short.then(|| nearest(mantissa, fraction)).flatten() {
        return Some((f32::from_bits(value.to_bits() | u32::from(negative) << 31), rest));
    }
    let number = text.get(..text.len() - rest.len())?;
    let value: f32 = std::str::from_utf8(number).ok()?.parse().ok()?;
    value.is_finite().then_some((value, rest))
}

/// So many decimal digits fit into 64 bits.
const MOST_DIGITS: usize = 19;

/// `mantissa`, with the digits that the text begins with behind its own, and what is behind them. It wraps where there are too many.
fn digits(mut mantissa: u64, mut text: &[u8]) -> (u64, &[u8]) {
    while let Some((chunk, behind)) = text.split_first_chunk::<8>() {
        let chunk = u64::from_le_bytes(*chunk);
        let found = leading_digits(chunk);
        if let Some(power) = TENS.get(found) {
            // They become the last of eight, behind zeros.
            let last = chunk.wrapping_sub(EACH * u64::from(b'0')) << 1 << (63 - 8 * found);
            return (mantissa.wrapping_mul(*power).wrapping_add(value(last)), text.get(found..).unwrap_or_default());
        }
        mantissa = mantissa.wrapping_mul(100_000_000).wrapping_add(value(chunk - EACH * u64::from(b'0')));
        text = behind;
    }
    while let [digit @ b'0'..=b'9', behind @ ..] = text {
        mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        text = behind;
    }
    (mantissa, text)
}

/// Powers of ten up to that of seven digits.
const TENS: [u64; 8] = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000];
/// One in each of eight bytes.
const EACH: u64 = 0x0101_0101_0101_0101;

/// How many of eight characters are digits before one that is none; the first is in the lowest byte.
fn leading_digits(text: u64) -> usize {
    let high = text & (EACH * 0xF0);
    // A sum that does not fit into its byte is of no digit, and changes those behind it only.
    let over = (text.wrapping_add(EACH * 6) & (EACH * 0xF0)) >> 4;
    ((high | over) ^ (EACH * 0x33)).trailing_zeros() as usize / 8
}

/// Eight digits at once, the first in the lowest byte: pairs, then fours, then all (Lemire, "Number parsing at a gigabyte per second",
/// Software: Practice and Experience 51(8), 2021).
fn value(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul((10 << 8) + 1) >> 8;
    let fours = (pairs & 0x00FF_00FF_00FF_00FF).wrapping_mul((100 << 16) + 1) >> 16;
    (fours & 0x0000_FFFF_0000_FFFF).wrapping_mul((10_000 << 32) + 1) >> 32
}

/// Powers of ten that float64 has exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];
/// Bits of a float64's mantissa that a float32 has not.
const BELOW: u64 = (1 << 29) - 1;
/// More than two roundings can be off, in units of the last place of a float64.
const DOUBT: u64 = 4;

/// `mantissa` / 10^`fraction`, if float64 can tell which float32 is the nearest: not where it may lie on either side of the middle of two.
/// The smallest number that comes here, 1e-22, is a normal one in both.
fn nearest(mantissa: u64, fraction: usize) -> Option<f32> {
    // Of 64 bits with a sign there is an instruction; what is larger is for others.
    let value = i64::try_from(mantissa).ok()? as f64 / POWERS.get(fraction)?;
    let certain = (value.to_bits() & BELOW).abs_diff(1 << 28) > DOUBT;
    certain.then_some(value as f32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(text: &str) -> Option<f32> {
        let data = read(text.as_bytes(), &[1], 1)?;
        Some(f32::from_le_bytes(*data.first_chunk()?))
    }

    /// What JSON takes as one number, and the standard library reads as a finite one.
    fn expected(number: &str) -> Option<f32> {
        serde_json::from_str::<Vec<&serde_json::value::RawValue>>(&format!("[{number}]")).ok()?;
        number.trim_matches([' ', '\n', '\r', '\t']).parse().ok().filter(|f: &f32| f.is_finite())
    }

    fn check(number: &str) -> Result<(), TestCaseError> {
        let found = one(&format!("[{number}]")).map(f32::to_bits);
        prop_assert_eq!(found, expected(number).map(f32::to_bits), "{}", number);
        Ok(())
    }

    #[test]
    fn numbers_of_every_form() {
        for number in [
            "0",
            "-0",
            "0.0",
            "-0.0",
            "1",
            "-1",
            "12345678",
            "123456789",
            "0.18905338644981384",
            "-0.52",
            "1e5",
            "1E+5",
            "1.5e-45",
            "3.4028235e38",
            "3.4028236e38",
            "-3.5e38",
            "1e999",
            "1e-999",
            "16777217",
            "16777216.999999999999",
            "16777217.00000000000000000001",
            "1.00000005960464477539",
            "1.000000059604644775390625",
            "9999999999999999999",
            "99999999999999999999999",
            "0.0000000000000000000001",
            "0.00000000000000000000000001",
            "00",
            "01",
            "-01",
            "-",
            "+1",
            ".5",
            "5.",
            "1.e5",
            "1e",
            "1e+",
            "--1",
            "0x1",
            "1_000",
            "inf",
            "NaN",
            "nan",
            "Infinity",
            "null",
            "true",
            "\"1\"",
            "1 2",
            "١",
            "1:",
            "1/",
            "12345678:",
            " 7\t",
            "\n-7.25\r",
            "\u{b}1",
        ] {
            check(number).unwrap();
        }
    }

    #[test]
    fn arrays_are_those_of_json() {
        for (text, shape, ok) in [
            ("[1,2,3,4]", &[2, 2][..], true),
            (" [ [ 1 , 2 ] ,\n[ 3\t,4 ] ] ", &[2, 2], true),
            ("[[1,2],[3,4]]", &[2, 2], true),
            ("[1]", &[], true),
            ("[1,2,3]", &[2, 2], false),
            ("[1,2,3,4,5]", &[2, 2], false),
            ("[[1,2],[3]]", &[2, 2], false),
            ("[[1,2,3],[4]]", &[2, 2], false),
            ("[1,2,,3,4]", &[2, 2], false),
            ("[1,2,3,4,]", &[2, 2], false),
            ("[,1,2,3,4]", &[2, 2], false),
            ("[1,2,3,4", &[2, 2], false),
            ("1,2,3,4]", &[2, 2], false),
            ("[1,2,3,4]]", &[2, 2], false),
            ("[1,2,3,4] 5", &[2, 2], false),
            ("[1,2,3,4],", &[2, 2], false),
            ("[1 2 3 4]", &[2, 2], false),
            ("[[1,2][3,4]]", &[2, 2], false),
            ("[]", &[1], false),
            ("", &[1], false),
            ("[1,{}]", &[2], false),
        ] {
            assert_eq!(read(text.as_bytes(), shape, shape.iter().product::<i64>() as usize).is_some(), ok, "{text}");
        }
        assert!(read("[".repeat(1_000_000).as_bytes(), &[2, 2], 4).is_none());
    }

    proptest! {
        #[test]
        fn what_python_writes_of_a_float_is_that_float(bits in any::<u32>()) {
            let value = f32::from_bits(bits);
            prop_assume!(value.is_finite());
            for text in [format!("[{:?}]", f64::from(value)), format!("[{value}]"), format!("[{value:e}]")] {
                prop_assert_eq!(one(&text).map(f32::to_bits), Some(bits), "{}", text);
            }
        }

        /// The middle of two floats, and what is next to it: where a second rounding goes the wrong way.
        #[test]
        fn the_middle_of_two_floats_goes_where_it_must(bits in 0x2000_0000_u32..0x6000_0000, off in -2_i64..=2, digits in 1_usize..22) {
            let middle = f64::midpoint(f64::from(f32::from_bits(bits)), f64::from(f32::from_bits(bits + 1)));
            let near = f64::from_bits(middle.to_bits().checked_add_signed(off).unwrap());
            check(&format!("{near}"))?;
            check(&format!("{near:.digits$}"))?;
        }

        #[test]
        fn any_decimal(whole in "(0|[1-9][0-9]{0,20})", fraction in "(|[.][0-9]{1,24})", power in "(|[eE][+-]?[0-9]{1,3})", sign in "-?") {
            check(&format!("{sign}{whole}{fraction}{power}"))?;
        }

        #[test]
        fn any_text(text in "[-+.eE0-9 ,x]{0,12}") {
            prop_assume!(!text.contains(','));
            check(&text)?;
        }
    }
}
