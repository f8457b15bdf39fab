//! How one side of a pipeline is. Pure.

use super::{children::Rollout, pods::Trouble, reason::Reason, status::Verdict};
use crate::crd::status::SideStatus;

/// What was found about one side.
#[derive(Debug)]
pub enum Side {
    /// Somebody else runs it.
    NotManaged,
    /// It has no Deployment yet.
    Missing,
    /// It has one.
    Deployed {
        /// How many replicas the Deployment asks for.
        wanted: i32,
        /// How far they are.
        rollout: Box<Rollout>,
        /// What the worst of its pods suffers from.
        trouble: Option<Trouble>,
        /// Labels of its pods, as text.
        selector: String,
    },
}

impl Side {
    /// Whether it works, in words.
    #[must_use]
    pub fn available(&self, side: &str) -> Verdict {
        let (wanted, rollout, trouble, selector) = match self {
            Self::NotManaged => {
                let message = format!("spec.{side}.managed is false: somebody else runs this side");
                return Verdict::holds(Reason::NotManaged, message);
            }
            Self::Missing => return Verdict::fails(Reason::Starting, "its Deployment is not there yet"),
            Self::Deployed { wanted, rollout, trouble, selector } => (*wanted, rollout, trouble, selector),
        };
        let (ready, up_to_date) = (rollout.ready, rollout.is_complete(wanted));
        if wanted == 0 && rollout.refusal.is_none() {
            return scaled_to_zero(side);
        }
        let is_short = ready > 0 && rollout.is_one_version();
        let older = if ready > 0 { format!(" ({ready} older replicas still work)") } else { String::new() };
        match (&rollout.refusal, trouble) {
            // They work, only fewer than there should be.
            (Some(refusal), _) if is_short => short(ready, wanted, &format!("Kubernetes refuses more: {refusal}")),
            (None, Some(trouble)) if is_short => short(ready, wanted, &trouble.to_string()),
            (Some(refusal), _) => {
                Verdict::fails(Reason::PodsRefused, format!("Kubernetes refuses the pods: {refusal}{older}"))
            }
            // A node may be on its way.
            (None, Some(trouble)) if trouble.is_want_of_a_node() => {
                Verdict::fails(Reason::Starting, format!("{trouble}{older}"))
            }
            (None, Some(trouble)) => Verdict::fails(Reason::PodsFailing, format!("{trouble}{older}")),
            _ if !up_to_date && rollout.is_stuck => Verdict::fails(
                Reason::PodsFailing,
                format!("the new version does not get ready{older}; `kubectl describe pods -l {selector}` tells why"),
            ),
            _ if ready > 0 => {
                let more = if up_to_date { "" } else { "; others are on their way" };
                Verdict::holds(Reason::Available, format!("{ready} of {wanted} replicas are ready{more}"))
            }
            _ => Verdict::fails(
                Reason::Starting,
                format!(
                    "0 of {wanted} replicas are ready; `kubectl describe pods -l {selector}` tells how far they are"
                ),
            ),
        }
    }

    /// Its numbers, if it has a Deployment.
    #[must_use]
    pub fn status(&self) -> Option<SideStatus> {
        let Self::Deployed { wanted, rollout, selector, .. } = self else { return None };
        Some(SideStatus {
            desired_replicas: *wanted,
            replicas: rollout.replicas,
            ready_replicas: rollout.ready,
            selector: Some(selector.clone()),
        })
    }
}

fn short(ready: i32, wanted: i32, why: &str) -> Verdict {
    Verdict::holds(Reason::Available, format!("{ready} of {wanted} replicas are ready; {why}"))
}

fn scaled_to_zero(side: &str) -> Verdict {
    if side == "web" {
        return Verdict::fails(Reason::ScaledToZero, "no request is accepted: set spec.web.replicas to 1 or more");
    }
    Verdict::holds(Reason::ScaledToZero, "no processor runs at present")
}

#[cfg(test)]
mod tests {
    use super::{super::status::Truth, *};

    #[test]
    fn a_pod_more_than_nodes_have_room_for_does_not_make_a_pipeline_unready() {
        let with = |ready, updated, trouble: Trouble| {
            let rollout = Rollout { is_current: true, replicas: 2, updated, ready, ..Rollout::default() };
            let (rollout, trouble) = (Box::new(rollout), Some(trouble));
            Side::Deployed { wanted: 2, rollout, trouble, selector: "a=b".into() }.available("processor")
        };
        let short = with(1, 2, Trouble::unschedulable("p-2"));
        assert_eq!((short.truth, short.reason), (Truth::True, Reason::Available));
        assert!(short.message.starts_with("1 of 2 replicas are ready; pod p-2 is Unschedulable"), "{short:?}");
        assert_eq!(with(0, 2, Trouble::unschedulable("p-2")).reason, Reason::Starting);
        let rolling = with(1, 1, Trouble::unschedulable("p-2"));
        assert!(rolling.message.ends_with("(1 older replicas still work)"), "{rolling:?}");
    }
}
