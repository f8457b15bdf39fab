//! Which pods go when their number shrinks. Pure.
//!
//! Kubernetes takes pods that are pending or not ready first, then those with the lowest `pod-deletion-cost`; it knows
//! nothing of who is busy. So the idle ones that should go get a low cost before the number is written.

use std::collections::{BTreeMap, BTreeSet};

/// The annotation that Kubernetes goes by.
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// The cost of a pod that should go; others have none, which is 0.
pub const LOW: &str = "-100";

/// A pod, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name, which is its worker's.
    pub name: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it has a low cost from an earlier time.
    pub marked: bool,
}

/// What to do before the number is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Pods that get the low cost.
    pub mark: Vec<String>,
    /// Pods that lose it.
    pub unmark: Vec<String>,
    /// How many may go.
    pub going: u32,
}

/// Chooses at most `leaving` of `pods`.
#[must_use]
pub fn choose(pods: &[Candidate], leaving: u32, idle: &BTreeSet<String>, busy: &BTreeSet<String>) -> Choice {
    let (ready, starting): (Vec<_>, Vec<_>) = pods.iter().partition(|pod| pod.ready);
    // Kubernetes would take it first, whatever it costs.
    if starting.iter().any(|pod| busy.contains(&pod.name)) {
        return Choice::default();
    }
    let first = count(starting.len()).min(leaving);
    let may_go: BTreeMap<_, _> =
        ready.iter().filter(|pod| idle.contains(&pod.name)).map(|pod| (&pod.name, pod.marked)).collect();
    let second = count(may_go.len()).min(leaving - first);
    // Those with a mark first: they cost no call.
    let mut order: Vec<_> = may_go.iter().collect();
    order.sort_by_key(|(name, marked)| (!**marked, std::cmp::Reverse(**name)));
    let chosen: BTreeSet<_> = order.iter().take(second as usize).map(|(name, _)| (**name).clone()).collect();
    let names = |wanted: &dyn Fn(&Candidate) -> bool| {
        ready.iter().filter(|pod| wanted(pod)).map(|pod| pod.name.clone()).collect()
    };
    Choice {
        mark: names(&|pod| chosen.contains(&pod.name) && !pod.marked),
        unmark: names(&|pod| !chosen.contains(&pod.name) && pod.marked),
        going: first + second,
    }
}

fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, ready: bool, marked: bool) -> Candidate {
        Candidate { name: name.into(), ready, marked }
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn idle_pods_go_and_no_more_than_there_are() {
        let pods = [pod("a", true, false), pod("b", true, false), pod("c", true, false)];
        let choice = choose(&pods, 2, &names(&["a", "c"]), &names(&["b"]));
        assert_eq!(choice, Choice { mark: vec!["a".into(), "c".into()], unmark: vec![], going: 2 });
        assert_eq!(choose(&pods, 3, &names(&["a"]), &names(&["b", "c"])).going, 1);
    }

    #[test]
    fn pods_that_have_not_started_go_first_and_need_no_mark() {
        let pods = [pod("a", true, false), pod("b", false, false), pod("c", false, false)];
        let choice = choose(&pods, 2, &names(&["a"]), &names(&[]));
        assert_eq!(choice, Choice { going: 2, ..Choice::default() });
    }

    #[test]
    fn a_busy_pod_that_is_not_ready_stops_it_all() {
        let pods = [pod("a", true, false), pod("b", false, false)];
        assert_eq!(choose(&pods, 1, &names(&["a"]), &names(&["b"])), Choice::default());
    }

    #[test]
    fn marks_of_an_earlier_time_are_used_or_taken_back() {
        let pods = [pod("a", true, false), pod("b", true, true), pod("c", true, true)];
        let choice = choose(&pods, 1, &names(&["a", "b"]), &names(&["c"]));
        assert_eq!(choice, Choice { mark: vec![], unmark: vec!["c".into()], going: 1 });
    }
}
