//! Which pods go when their number shrinks. Pure.
//!
//! Kubernetes takes pods that are not scheduled first, then pending ones, then those that are not ready, and among equals
//! those with the lowest `pod-deletion-cost`; it knows nothing of who is busy. So those that should go get a low cost before
//! the number is written, and no more go than Kubernetes finds before it comes to one that should stay.

use super::mark::Mark;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// How far a pod has come; Kubernetes takes them in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It has no node.
    Unscheduled,
    /// Not all of its containers have ever started.
    Pending,
    /// It runs and is not ready.
    Unready,
    /// It is ready.
    Ready,
}

/// A pod, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name, which is its worker's.
    pub name: String,
    /// How far it has come.
    pub stage: Stage,
    /// Whether it may have taken a request, or take one any moment, though nobody has heard of it.
    pub may_work: bool,
    /// Whether it has the mark from an earlier time.
    pub mark: Mark,
}

/// What to do before the number is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Pods that get the mark.
    pub mark: Vec<String>,
    /// Pods that lose it.
    pub unmark: Vec<String>,
    /// Pods that go.
    pub going: BTreeSet<String>,
    /// A pod that is not ready and because of which nobody goes.
    pub blocked_by: Option<String>,
}

/// Chooses at most `leaving` of `pods`, of which the `idle` ones are known to take nothing more.
#[must_use]
pub fn choose(pods: &[Candidate], leaving: u32, idle: &BTreeSet<String>) -> Choice {
    let may_go = |pod: &Candidate| idle.contains(&pod.name) || !pod.may_work;
    let mut stages: BTreeMap<Stage, Vec<&Candidate>> = BTreeMap::new();
    for pod in pods {
        stages.entry(pod.stage).or_default().push(pod);
    }
    let (mut going, mut blocked_by): (Vec<&Candidate>, _) = (Vec::new(), None);
    for (stage, pods) in &mut stages {
        // Those with a mark first: they cost no call.
        pods.sort_by_key(|pod| (!may_go(pod), pod.mark != Mark::Full, Reverse(&pod.name)));
        let missing = (leaving as usize).saturating_sub(going.len());
        going.extend(pods.iter().filter(|pod| may_go(pod)).take(missing));
        if let Some(pod) = pods.iter().find(|pod| !may_go(pod)) {
            blocked_by = (missing > 0 && going.is_empty() && *stage < Stage::Ready).then(|| pod.name.clone());
            break;
        }
    }
    let going: BTreeSet<String> = going.into_iter().map(|pod| pod.name.clone()).collect();
    let goes = |pod: &Candidate| going.contains(&pod.name);
    let names = |wanted: &dyn Fn(&Candidate) -> bool| {
        pods.iter().filter(|pod| wanted(pod)).map(|pod| pod.name.clone()).collect()
    };
    Choice {
        mark: names(&|pod| goes(pod) && pod.mark != Mark::Full),
        unmark: names(&|pod| !goes(pod) && pod.mark != Mark::None),
        going: going.clone(),
        blocked_by,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, stage: Stage) -> Candidate {
        Candidate { name: name.into(), stage, may_work: true, mark: Mark::None }
    }

    fn marked(name: &str, mark: Mark) -> Candidate {
        Candidate { mark, ..pod(name, Stage::Ready) }
    }

    /// One that has not started for so long that it will not.
    fn stuck(name: &str, stage: Stage) -> Candidate {
        Candidate { may_work: false, ..pod(name, stage) }
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn chosen(mark: &[&str], unmark: &[&str], going: &[&str]) -> Choice {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Choice { mark: own(mark), unmark: own(unmark), going: names(going), blocked_by: None }
    }

    #[test]
    fn idle_pods_go_and_no_more_than_there_are() {
        let pods = ["a", "b", "c"].map(|name| pod(name, Stage::Ready));
        let choice = choose(&pods, 2, &names(&["a", "c"]));
        assert_eq!(choice, chosen(&["a", "c"], &[], &["a", "c"]));
        assert_eq!(choose(&pods, 3, &names(&["a"])).going, names(&["a"]));
    }

    #[test]
    fn pods_that_will_not_start_go_first() {
        let pods = [pod("a", Stage::Ready), stuck("b", Stage::Unscheduled), stuck("c", Stage::Pending)];
        let choice = choose(&pods, 2, &names(&["a"]));
        assert_eq!((choice.mark, choice.going), (vec!["b".into(), "c".into()], names(&["b", "c"])));
        assert_eq!(choose(&pods, 3, &names(&["a"])).going, names(&["a", "b", "c"]));
    }

    #[test]
    fn nobody_goes_whom_kubernetes_would_take_after_one_that_should_stay() {
        let idle = names(&["a"]);
        for stage in [Stage::Unscheduled, Stage::Pending, Stage::Unready] {
            let pods = [pod("a", Stage::Ready), pod("b", stage)];
            let blocked = Choice { blocked_by: Some("b".into()), ..Choice::default() };
            assert_eq!(choose(&pods, 1, &idle), blocked, "one that is {stage:?} may have a request");
        }
        let pods = [pod("a", Stage::Ready), pod("b", Stage::Pending), stuck("c", Stage::Pending)];
        assert_eq!(choose(&pods, 2, &idle), chosen(&["c"], &[], &["c"]));
        let pods = [pod("a", Stage::Ready), pod("b", Stage::Pending)];
        assert_eq!(choose(&pods, 0, &idle), Choice::default(), "nobody is to go");
        let busy = ["a", "b"].map(|name| pod(name, Stage::Ready));
        assert_eq!(choose(&busy, 1, &names(&[])), Choice::default(), "nothing is wrong with those that work");
    }

    #[test]
    fn an_idle_pod_that_is_not_ready_goes_first() {
        let pods = [pod("a", Stage::Ready), pod("b", Stage::Unready)];
        let choice = choose(&pods, 1, &names(&["a", "b"]));
        assert_eq!(choice, chosen(&["b"], &[], &["b"]));
    }

    #[test]
    fn marks_of_an_earlier_time_are_used_or_taken_back() {
        let pods = [pod("a", Stage::Ready), marked("b", Mark::Full), marked("c", Mark::Full)];
        let choice = choose(&pods, 1, &names(&["a", "b"]));
        assert_eq!(choice, chosen(&[], &["c"], &["b"]));
        let pods = [marked("a", Mark::Part), marked("b", Mark::Part)];
        let choice = choose(&pods, 1, &names(&["b"]));
        assert_eq!(choice, chosen(&["b"], &["a"], &["b"]));
    }
}
