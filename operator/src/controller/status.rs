//! From what was found to the conditions that people read. Pure.

use super::{problem::Problem, reason::Reason, side::Side, topology::Held};
use crate::crd::status::PipelineStatus;
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::SignedDuration,
};
use warren_messaging::duration;

/// How long processors may be on their way before a pipeline that was ready is not any more.
const START_WITHIN: SignedDuration = SignedDuration::from_secs(60);

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows yet.
    Unknown,
}

/// A condition without its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it holds.
    pub truth: Truth,
    /// Why.
    pub reason: Reason,
    /// Why, for people, with the way out.
    pub message: String,
}

/// Everything that one look at a pipeline found.
#[derive(Debug)]
pub struct Findings {
    /// What kept the look from going on: the spec, a Secret, another pipeline.
    pub blocked: Option<Problem>,
    /// Exchange, queues and bindings; `None` if it did not come to that.
    pub topology: Option<Result<Held, Problem>>,
    /// The objects; `None` if it did not come to that.
    pub applied: Option<Result<(), Problem>>,
    /// The web side.
    pub web: Side,
    /// The processors.
    pub processor: Side,
    /// What is said of scaling.
    pub scaling: Verdict,
    /// About how many requests wait, if that is known.
    pub backlog: Option<i64>,
    /// Where requests go.
    pub endpoint: Option<String>,
}

impl Verdict {
    /// A condition that holds.
    #[must_use]
    pub fn holds(reason: Reason, message: impl Into<String>) -> Self {
        Self { truth: Truth::True, reason, message: message.into() }
    }

    /// A condition that does not hold.
    #[must_use]
    pub fn fails(reason: Reason, message: impl Into<String>) -> Self {
        Self { truth: Truth::False, reason, message: message.into() }
    }

    /// A condition of which nothing is known yet.
    #[must_use]
    pub fn unknown(message: &str) -> Self {
        Self { truth: Truth::Unknown, reason: Reason::Pending, message: message.into() }
    }

    fn of(problem: &Problem) -> Self {
        Self::fails(problem.reason(), problem.message())
    }
}

impl Findings {
    /// The status to show, given the one that is shown.
    #[must_use]
    pub fn status(&self, generation: Option<i64>, shown: &PipelineStatus, now: &Time) -> PipelineStatus {
        let verdicts = [
            ("Ready", self.ready(may_start(shown, now))),
            ("TopologyReady", self.topology_ready()),
            ("WebAvailable", self.web.available("web")),
            ("ProcessorAvailable", self.processor.available("processor")),
            ("ScalingActive", self.scaling.clone()),
        ];
        PipelineStatus {
            observed_generation: generation,
            conditions: verdicts.map(|(name, verdict)| condition(name, verdict, generation, shown, now)).into(),
            web: self.web.status(),
            processor: self.processor.status(),
            backlog: self.backlog,
            endpoint: self.endpoint.clone(),
            retry_tiers: self.retry_tiers(shown),
        }
    }

    /// As found on the broker, or as shown as long as it cannot be asked.
    fn retry_tiers(&self, shown: &PipelineStatus) -> Vec<String> {
        match &self.topology {
            Some(Ok(held)) => held.tiers.iter().map(|delay| duration::format(*delay)).collect(),
            _ => shown.retry_tiers.clone(),
        }
    }

    /// The reason of `Ready`, given the status that is shown.
    #[must_use]
    pub fn reason(&self, shown: &PipelineStatus, now: &Time) -> Reason {
        self.ready(may_start(shown, now)).reason
    }

    /// The first thing that is wrong, in the order in which a person would mend it. Processors that are on their way do
    /// not make a pipeline unready that was ready, for a while: they come and go with the work.
    fn ready(&self, may_start: bool) -> Verdict {
        if let Some(problem) = &self.blocked {
            return Verdict::of(problem);
        }
        if let Some(Err(problem)) = &self.applied {
            return Verdict::of(problem);
        }
        let (web, processor) = (self.web.available("web"), self.processor.available("processor"));
        let waived = may_start && processor.reason == Reason::Starting;
        let parts = [Some(self.topology_ready()), Some(web), (!waived).then_some(processor)];
        let wrong = parts.into_iter().flatten().find(|part| part.truth != Truth::True);
        wrong.unwrap_or_else(|| Verdict::holds(Reason::Running, "requests are accepted and worked on"))
    }

    fn topology_ready(&self) -> Verdict {
        match (&self.blocked, &self.topology) {
            (Some(problem), _) | (None, Some(Err(problem))) => Verdict::of(problem),
            (None, Some(Ok(_))) => Verdict::holds(Reason::Declared, "exchange, queues and bindings are in place"),
            (None, None) => Verdict::unknown("not looked at yet"),
        }
    }
}

/// Whether processors that start are nothing to report: the pipeline was ready, and they have not started for long.
fn may_start(shown: &PipelineStatus, now: &Time) -> bool {
    let shown = |name: &str| shown.conditions.iter().find(|condition| condition.type_ == name);
    let was_ready = shown("Ready").is_some_and(|ready| ready.status == "True");
    was_ready
        && shown("ProcessorAvailable").is_none_or(|available| {
            available.status == "True" || now.0.duration_since(available.last_transition_time.0) < START_WITHIN
        })
}

/// With the times that Kubernetes' conventions ask for: the transition's is that of the last change of `status`.
fn condition(name: &str, verdict: Verdict, generation: Option<i64>, shown: &PipelineStatus, now: &Time) -> Condition {
    let status = match verdict.truth {
        Truth::True => "True",
        Truth::False => "False",
        Truth::Unknown => "Unknown",
    };
    let before = shown.conditions.iter().find(|condition| condition.type_ == name && condition.status == status);
    Condition {
        type_: name.into(),
        status: status.into(),
        reason: verdict.reason.to_string(),
        message: verdict.message,
        observed_generation: generation,
        last_transition_time: before.map_or_else(|| now.clone(), |condition| condition.last_transition_time.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::children::Rollout, *};
    use serde_json::json;

    fn side(wanted: i32, ready: i32) -> Side {
        Side::Deployed {
            wanted,
            rollout: Box::new(Rollout {
                is_current: true,
                replicas: wanted,
                updated: ready,
                ready,
                ..Rollout::default()
            }),
            trouble: None,
            selector: "a=b".into(),
        }
    }

    fn findings(web: Side, processor: Side) -> Findings {
        Findings {
            blocked: None,
            topology: Some(Ok(Held::default())),
            applied: Some(Ok(())),
            web,
            processor,
            scaling: Verdict::holds(Reason::External, ""),
            backlog: None,
            endpoint: None,
        }
    }

    fn at(seconds: &str) -> Time {
        serde_json::from_value(json!(format!("2026-01-01T00:00:{seconds}Z"))).expect("a time")
    }

    fn at_minute(minutes: &str) -> Time {
        serde_json::from_value(json!(format!("2026-01-01T00:{minutes}:00Z"))).expect("a time")
    }

    fn ready(status: &PipelineStatus) -> (&str, &str) {
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").expect("always there");
        (&ready.status, &ready.reason)
    }

    #[test]
    fn a_pipeline_is_ready_when_all_of_it_is() {
        let status = findings(side(1, 1), side(2, 1)).status(Some(3), &PipelineStatus::default(), &at("00"));
        assert_eq!(ready(&status), ("True", "Running"));
        assert_eq!(status.observed_generation, Some(3));
        let processors = status.processor.clone().expect("is managed");
        assert_eq!((processors.desired_replicas, processors.replicas, processors.ready_replicas), (2, 2, 1));
        let status = findings(side(1, 0), side(1, 1)).status(None, &status, &at("01"));
        assert_eq!(ready(&status), ("False", "Starting"));
    }

    #[test]
    fn processors_that_start_do_not_make_a_ready_pipeline_unready() {
        let fresh = PipelineStatus::default();
        let starting = findings(side(1, 1), side(1, 0)).status(None, &fresh, &at("00"));
        assert_eq!(ready(&starting), ("False", "Starting"));
        let running = findings(side(1, 1), side(0, 0)).status(None, &starting, &at("01"));
        assert_eq!(ready(&running), ("True", "Running"));
        let woken = findings(side(1, 1), side(1, 0)).status(None, &running, &at("02"));
        assert_eq!(ready(&woken), ("True", "Running"));
        let late = findings(side(1, 1), side(1, 0)).status(None, &woken, &at_minute("02"));
        assert_eq!(ready(&late), ("False", "Starting"), "they should have started by now");
        let alone = findings(side(1, 0), side(1, 0)).status(None, &running, &at("02"));
        assert_eq!(ready(&alone), ("False", "Starting"), "nobody accepts requests");
    }

    #[test]
    fn what_blocks_comes_before_what_follows_from_it() {
        let blocked = Findings {
            blocked: Some(Problem::StoreUrl { name: "db".into(), key: "url".into() }),
            topology: None,
            ..findings(Side::Missing, Side::Missing)
        };
        let status = blocked.status(None, &PipelineStatus::default(), &at("00"));
        assert_eq!(ready(&status), ("False", "SecretInvalid"));
    }

    #[test]
    fn the_transition_time_moves_with_the_status_alone() {
        let first = findings(side(2, 1), side(1, 1)).status(None, &PipelineStatus::default(), &at("00"));
        let second = findings(side(2, 2), side(1, 1)).status(None, &first, &at("01"));
        assert_ne!(first, second, "the message counts replicas");
        for (before, after) in first.conditions.iter().zip(&second.conditions) {
            assert_eq!(before.last_transition_time, after.last_transition_time);
        }
        let third = findings(side(2, 0), side(1, 1)).status(None, &second, &at("02"));
        assert_eq!(third.conditions[0].last_transition_time, at("02"));
    }

    #[test]
    fn the_same_findings_give_the_same_status() {
        let first = findings(side(1, 1), side(1, 1)).status(Some(1), &PipelineStatus::default(), &at("00"));
        assert_eq!(findings(side(1, 1), side(1, 1)).status(Some(1), &first, &at("09")), first);
    }
}
