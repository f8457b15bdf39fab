//! Sizes in bytes as Kubernetes writes them: `500M`, `10Gi`. Whole numbers only.

/// The units, the longer ones first: `Mi` also ends like nothing else, but `M` begins it.
const UNITS: [(&str, u64); 10] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("", 1),
];

/// The number of bytes, unless the text is no size.
pub(super) fn read(text: &str) -> Option<u64> {
    let (digits, unit) = UNITS.into_iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)))?;
    // `parse` would take a sign, too.
    let number: u64 = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        for (text, bytes) in
            [("1", 1), ("64Mi", 67_108_864), ("10Gi", 10 << 30), ("5k", 5_000), ("2T", 2 * 10_u64.pow(12))]
        {
            assert_eq!(read(text), Some(bytes), "{text}");
        }
        for text in ["", "Gi", "1.5Gi", "+1k", "1 Gi", "1Xi", "999999999999Pi"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
