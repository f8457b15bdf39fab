//! The `reason` of every condition and Event: one CamelCase word that machines and docs/troubleshooting.md go by.

use std::fmt;

/// Why a condition is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Everything is there and works.
    Running,
    /// Exchange, queues and bindings are as planned.
    Declared,
    /// Replicas of this side are ready.
    Available,
    /// Somebody else runs this side.
    NotManaged,
    /// Nothing runs on this side, as intended.
    ScaledToZero,
    /// Pods are on their way.
    Starting,
    /// Somebody else counts the processors.
    External,
    /// Nobody counts them for the time being.
    Paused,
    /// How Warren counts them.
    Scaling(warren_scaling::Reason),
    /// Their number cannot be set.
    ScalingRefused,
    /// Nothing is known yet.
    Pending,
    /// The resource says something impossible.
    InvalidSpec,
    /// A Secret does not exist.
    SecretNotFound,
    /// A Secret lacks the key.
    SecretKeyMissing,
    /// A Secret's value is not what it should be.
    SecretInvalid,
    /// Another pipeline has the exchange.
    ExchangeTaken,
    /// RabbitMQ cannot be reached.
    BrokerUnreachable,
    /// RabbitMQ's certificate is not trusted.
    BrokerNotTrusted,
    /// RabbitMQ refused user or password.
    LoginRefused,
    /// RabbitMQ refused the virtual host.
    VhostRefused,
    /// RabbitMQ does not let the user declare.
    TopologyForbidden,
    /// RabbitMQ declares no streams.
    NoStreams,
    /// A queue exists with other arguments and cannot be replaced.
    QueueDiffers,
    /// A queue is being replaced.
    QueueMigrating,
    /// An object of that name belongs to somebody else.
    NameTaken,
    /// Kubernetes refused an object.
    ObjectRefused,
    /// Kubernetes refuses the pods.
    PodsRefused,
    /// Pods do not start, or do not stay.
    PodsFailing,
    /// The API server did not answer as it should.
    ApiError,
}

impl Reason {
    /// All of those that a person may have to act on.
    pub const PROBLEMS: [Self; 23] = [
        Self::InvalidSpec,
        Self::SecretNotFound,
        Self::SecretKeyMissing,
        Self::SecretInvalid,
        Self::ExchangeTaken,
        Self::BrokerUnreachable,
        Self::BrokerNotTrusted,
        Self::LoginRefused,
        Self::VhostRefused,
        Self::TopologyForbidden,
        Self::NoStreams,
        Self::QueueDiffers,
        Self::QueueMigrating,
        Self::NameTaken,
        Self::ObjectRefused,
        Self::PodsRefused,
        Self::PodsFailing,
        Self::ApiError,
        Self::Paused,
        Self::ScalingRefused,
        Self::Scaling(warren_scaling::Reason::AtMaximum),
        Self::Scaling(warren_scaling::Reason::BacklogUnknown),
        Self::Scaling(warren_scaling::Reason::WorkersSilent),
    ];

    /// The word itself.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Declared => "Declared",
            Self::Available => "Available",
            Self::NotManaged => "NotManaged",
            Self::ScaledToZero => "ScaledToZero",
            Self::Starting => "Starting",
            Self::External => "External",
            Self::Paused => "Paused",
            Self::Scaling(reason) => reason.as_str(),
            Self::ScalingRefused => "ScalingRefused",
            Self::Pending => "Pending",
            Self::InvalidSpec => "InvalidSpec",
            Self::SecretNotFound => "SecretNotFound",
            Self::SecretKeyMissing => "SecretKeyMissing",
            Self::SecretInvalid => "SecretInvalid",
            Self::ExchangeTaken => "ExchangeTaken",
            Self::BrokerUnreachable => "BrokerUnreachable",
            Self::BrokerNotTrusted => "BrokerNotTrusted",
            Self::LoginRefused => "LoginRefused",
            Self::VhostRefused => "VhostRefused",
            Self::TopologyForbidden => "TopologyForbidden",
            Self::NoStreams => "NoStreams",
            Self::QueueDiffers => "QueueDiffers",
            Self::QueueMigrating => "QueueMigrating",
            Self::NameTaken => "NameTaken",
            Self::ObjectRefused => "ObjectRefused",
            Self::PodsRefused => "PodsRefused",
            Self::PodsFailing => "PodsFailing",
            Self::ApiError => "ApiError",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_has_a_heading_in_the_troubleshooting_page() {
        let page = include_str!("../../../docs/troubleshooting.md");
        for reason in Reason::PROBLEMS {
            assert!(page.contains(&format!("\n## {reason}\n")), "{reason}");
        }
    }

    #[test]
    fn every_other_reason_has_a_line_at_the_end_of_the_page() {
        let page = include_str!("../../../docs/troubleshooting.md");
        let (_, end) = page.split_once("\n## Nothing to do\n").expect("is there");
        let words = warren_scaling::Reason::ALL.map(|reason| reason.as_str()).into_iter().chain([
            "Running",
            "Declared",
            "Available",
            "NotManaged",
            "ScaledToZero",
            "Starting",
            "External",
            "Pending",
        ]);
        for word in words.filter(|word| !Reason::PROBLEMS.iter().any(|problem| problem.as_str() == *word)) {
            let row = end.lines().find(|line| line.split([' ', ',', '|']).any(|other| other == word));
            assert!(row.is_some_and(|row| row.starts_with("| ")), "{word}");
        }
    }
}
