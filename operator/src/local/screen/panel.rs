//! What is said of a pipeline at a glance. Pure.

use crate::{
    labels::Side,
    local::board::{Pipeline, State},
};

/// Replicas and rate: `web 1/1 · processors 1/2 · 12.0 requests/s`.
pub(super) fn headline(state: &State, name: &str, pipeline: &Pipeline) -> String {
    let side = |side: Side| {
        let wanted = pipeline.wanted.get(&side)?;
        let title = if side == Side::Web { "web" } else { "processors" };
        Some(format!("{title} {}/{wanted}", state.ready(name, side).len()))
    };
    let sides = [side(Side::Web), side(Side::Processor)].into_iter().flatten();
    let rate = pipeline.port.map(|_| format!("{:.1} requests/s", pipeline.rate));
    sides.chain(rate).collect::<Vec<_>>().join(" · ")
}

/// Depths: `requests 3 · retry 1 · results 0 · dead 0`, and `journal 9` if there is one. Retry tiers are summed up.
pub(super) fn queues(pipeline: &Pipeline) -> String {
    let depth = |last: &str| {
        let found = pipeline.depths.iter().find(|(name, _)| name.rsplit('.').next() == Some(last));
        found.map_or("?".into(), |(_, depth)| depth.map_or("missing".into(), |depth| depth.to_string()))
    };
    let retries = pipeline.depths.iter().filter(|(name, _)| name.contains(".retry."));
    let retry: u32 = retries.filter_map(|(_, depth)| *depth).sum();
    let has_journal = pipeline.depths.iter().any(|(name, _)| name.ends_with(".journal"));
    let journal = if has_journal { format!(" · journal {}", depth("journal")) } else { String::new() };
    let [requests, results, dead] = ["requests", "results", "dead"].map(depth);
    format!("requests {requests} · retry {retry} · results {results} · dead {dead}{journal}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_named_shortly_and_retry_tiers_summed_up() {
        let depths = [
            ("p.dead", Some(2)),
            ("p.results", None),
            ("p.requests", Some(30)),
            ("p.retry.1s", Some(1)),
            ("p.retry.4s", Some(4)),
        ];
        let depths = depths.map(|(name, depth)| (name.to_owned(), depth)).to_vec();
        let pipeline = Pipeline { depths, ..Pipeline::default() };
        assert_eq!(queues(&pipeline), "requests 30 · retry 5 · results missing · dead 2");
        let depths = [pipeline.depths, vec![("p.journal".into(), Some(9))]].concat();
        let pipeline = Pipeline { depths, ..Pipeline::default() };
        assert_eq!(queues(&pipeline), "requests 30 · retry 5 · results missing · dead 2 · journal 9");
    }

    #[test]
    fn a_side_that_somebody_else_runs_is_not_counted() {
        let pipeline = Pipeline { wanted: [(Side::Processor, 2)].into(), ..Pipeline::default() };
        assert_eq!(headline(&State::default(), "p", &pipeline), "processors 0/2");
    }
}
