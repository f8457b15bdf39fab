//! What somebody meant to write.

/// The candidate that `written` is most likely a slip of, if any is near enough.
pub(super) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&written, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= slips_allowed(candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// One slip for every three letters; more would suggest words that have nothing to do with it.
fn slips_allowed(candidate: &str) -> usize {
    (candidate.chars().count() / 3).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let known = ["broker", "processor", "topology", "web"];
        assert_eq!(nearest("procesor", known), Some("processor"));
        assert_eq!(nearest("Topology", known), Some("topology"));
        assert_eq!(nearest("wbe", known), Some("web"));
        assert_eq!(nearest("replicas", known), None);
    }
}
