//! The decision.

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

use crate::{
    Decision, Memory, Observation, Policy, Reason,
    need::{Need, Work, need},
};

/// How many processors there should be, and why.
///
/// Holds for every input: the number is at least `policy.min` and at most `policy.max`, except that replicas which are
/// busy, which start, or of which nobody knows, stay; more work never leads to fewer; what is unknown never leads to fewer; and
/// deciding once more at the same moment, with the number carried out, changes nothing.
pub fn decide(seen: &Observation, policy: &Policy, memory: &mut Memory) -> Decision {
    let anything_ended = memory.learn(seen);
    let (Some(waiting), Some(_)) = (seen.waiting, &seen.tiers) else { return hold(seen, policy, memory) };
    let (at, start_time) = (seen.at, memory.starts.start_time());
    let work = Work { waiting, due: memory.retries.due_within(start_time, at), in_work: seen.in_work() };
    let need = need(work, policy, &memory.load, start_time);
    let soon = memory.retries.due_within(policy.idle.max(start_time), at);
    let is_work = work.total() > 0 || soon > 0 || anything_ended;
    let engaged = seen.busy().saturating_add(seen.silent());
    memory.lull.learn(at, need.replicas.max(engaged), is_work, policy.idle);
    let wanted = need.replicas.min(need.usable).min(policy.max).max(policy.min);
    if wanted > seen.replicas {
        return grow(seen, policy, &need, wanted, memory);
    }
    let stay = engaged.saturating_add(arriving(seen, memory));
    let keep = keep(seen, policy, is_work, memory).max(stay).min(seen.replicas);
    shrink(seen, policy, &need, keep, memory)
}

/// How many start: Kubernetes would end them first, and they may have taken a request before anybody hears of them. Once
/// they report they go like any other.
fn arriving(seen: &Observation, memory: &Memory) -> u32 {
    seen.starting().min(memory.starts.arriving(seen.at))
}

/// Nobody knows how much there is to do.
fn hold(seen: &Observation, policy: &Policy, memory: &mut Memory) -> Decision {
    let replicas = seen.replicas.max(policy.min);
    memory.starts.follow(replicas, seen.at);
    let because = format!("how many requests wait is not known, so the number stays at {replicas}");
    Decision { replicas, reason: Reason::BacklogUnknown, because }
}

fn grow(seen: &Observation, policy: &Policy, need: &Need, wanted: u32, memory: &mut Memory) -> Decision {
    // The fewest that the user wants are no question of the load.
    let least = policy.min.max(1).min(wanted).max(seen.replicas);
    let room = memory.starts.room(seen.at);
    let replicas = seen.replicas.saturating_add(room).min(wanted).max(least);
    if replicas > seen.replicas {
        memory.starts.add(replicas - seen.replicas, seen.at);
    }
    let limit = match wanted {
        _ if replicas < wanted => format!("; {} are starting, others follow", memory.starts.starting()),
        _ if wanted == policy.min && need.replicas < wanted => format!("; minReplicas is {wanted}"),
        _ if need.replicas.min(need.usable) > wanted => format!("; maxReplicas is {wanted}"),
        _ if need.usable < need.replicas => format!("; no more than {wanted} would have work"),
        _ => String::new(),
    };
    let at_maximum = replicas == wanted && need.replicas.min(need.usable) > wanted;
    let reason = if at_maximum { Reason::AtMaximum } else { Reason::ScalingUp };
    Decision { replicas, reason, because: format!("{}{limit}", need.because) }
}

/// The fewest that must stay, busy ones apart.
fn keep(seen: &Observation, policy: &Policy, is_work: bool, memory: &Memory) -> u32 {
    if !is_work && memory.lull.idle_for(seen.at) >= policy.idle {
        return policy.min;
    }
    memory.lull.recent_need().max(1).min(policy.max).max(policy.min)
}

fn shrink(seen: &Observation, policy: &Policy, need: &Need, keep: u32, memory: &mut Memory) -> Decision {
    let idle = memory.lull.idle_for(seen.at);
    // More than the user allows, or nothing to wait for any more: no steps then.
    let at_once = keep == policy.min && idle >= policy.idle;
    let stepwise = memory.lull.step(seen.at, seen.replicas, keep, policy.idle);
    let replicas = if at_once { keep } else { stepwise.min(policy.max).max(keep) };
    if replicas < seen.replicas {
        memory.lull.stepped(seen.at);
        memory.starts.follow(replicas, seen.at);
    }
    let arriving = arriving(seen, memory);
    explain(seen, policy, need, Kept { replicas, keep, arriving, idle: idle.as_secs() })
}

/// What [`shrink`] came to.
struct Kept {
    replicas: u32,
    /// The fewest that had to stay.
    keep: u32,
    arriving: u32,
    /// Seconds without work.
    idle: u64,
}

/// Names the rule that kept the number where it is.
fn explain(seen: &Observation, policy: &Policy, need: &Need, kept: Kept) -> Decision {
    let Kept { replicas, keep, arriving, idle } = kept;
    let (asked, silent, busy) = (need.replicas.min(need.usable), seen.silent(), seen.busy());
    let (reason, limit) = if silent > 0 && keep > asked.max(busy) && replicas == keep {
        (Reason::WorkersSilent, format!("; {silent} that do not report may be busy, so they stay"))
    } else if arriving > 0 && keep > asked.max(busy) && replicas == keep {
        (Reason::ScalingDown, format!("; {arriving} are starting and go once they are known to be idle"))
    } else if replicas > policy.max {
        (Reason::ScalingDown, format!("; maxReplicas is {}, but {busy} are busy and go when they are done", policy.max))
    } else if asked > replicas {
        (Reason::AtMaximum, format!("; maxReplicas is {}", policy.max))
    } else if replicas < seen.replicas {
        (Reason::ScalingDown, format!("; {idle} s without work, {busy} busy"))
    } else if replicas > asked && replicas > policy.min {
        let limit = if busy >= replicas {
            "; all are busy".into()
        } else {
            format!("; {idle} s without work of idleSeconds {}", policy.idle.as_secs())
        };
        (Reason::ScalingDown, limit)
    } else if need.replicas == 0 {
        (Reason::Idle, format!("; minReplicas is {}", policy.min))
    } else {
        (Reason::Steady, String::new())
    };
    Decision { replicas, reason, because: format!("{}{limit}", need.because) }
}
