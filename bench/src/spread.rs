//! What several rounds say together.

/// The median; of an even number the lower of the two in the middle.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let values = ascending(values);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// The least and the greatest.
pub fn range(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let values = ascending(values);
    let end = |value: Option<&f64>| value.copied().unwrap_or(f64::NAN);
    (end(values.first()), end(values.last()))
}

fn ascending(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_round_does_not_move_the_median() {
        assert_eq!(median([9.0, 1.0, 10.0]), 9.0);
        assert_eq!(range([9.0, 1.0, 10.0]), (1.0, 10.0));
    }
}
