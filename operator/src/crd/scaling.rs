//! `spec.processor.scaling`: how the number of processors follows the work.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the number of processor replicas follows the work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Scaling {
    /// Fewest replicas; 0 lets an idle pipeline cost nothing. Default: 0.
    #[schemars(range(min = 0, max = 1000))]
    pub min_replicas: i32,

    /// Most replicas. Default: 20.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,

    /// How many requests, waiting or in work, call for one replica. Default: 10, unless drainSeconds is set. Excludes
    /// drainSeconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub backlog_per_replica: Option<i32>,

    /// Within how many seconds the backlog should be worked off, at the speed that was measured. Excludes
    /// backlogPerReplica.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub drain_seconds: Option<i32>,

    /// How many seconds without any work it takes until the last replica goes. Those that are not needed beside it go
    /// earlier, half of them every thirtieth of this time. Default: 30.
    #[schemars(range(min = 0, max = 86_400))]
    pub idle_seconds: i32,

    /// Who counts the replicas: Backlog is Warren, from the waiting requests; External is whoever writes
    /// spec.processor.replicas, for instance through kubectl scale. Default: Backlog.
    pub mode: ScalingMode,
}

impl Default for Scaling {
    fn default() -> Self {
        Self {
            min_replicas: 0,
            max_replicas: 20,
            backlog_per_replica: None,
            drain_seconds: None,
            idle_seconds: 30,
            mode: ScalingMode::default(),
        }
    }
}

/// Who counts the processor replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ScalingMode {
    /// Warren, from the waiting requests.
    #[default]
    Backlog,
    /// Whoever writes `spec.processor.replicas`.
    External,
}
