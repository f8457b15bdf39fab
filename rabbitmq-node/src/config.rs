//! The files that the node reads at its start.

use crate::{Ports, Settings, Tls};

/// The node's configuration, as Erlang terms: RabbitMQ's newer `key = value` form has no key for
/// `quorum_tick_interval`.
///
/// - Listeners only on loopback.
/// - Memory: publishers are blocked from 1 GiB on, instead of 40 % of the machine; a quorum queue's log is written out
///   after 64 MiB instead of 512 MiB.
/// - Disk: publishers are blocked when less than 50 MB are free.
pub(crate) fn erlang_terms(settings: &Settings, ports: &Ports) -> String {
    let Ports { amqp, management, .. } = ports;
    let statistics = settings.statistics_every.as_millis().max(1);
    // RabbitMQ counts these in whole seconds; 5 is its default.
    let sample = settings.statistics_every.as_secs().clamp(1, 5);
    let tls = settings.tls.as_ref().map(tls_terms).unwrap_or_default();
    format!(
        r#"[
 {{rabbit, [
   {{tcp_listeners, [{{"127.0.0.1", {amqp}}}]}},{tls}
   {{loopback_users, [<<"guest">>]}},
   {{vm_memory_high_watermark, {{absolute, 1073741824}}}},
   {{disk_free_limit, 50000000}},
   {{collect_statistics_interval, {statistics}}},
   {{quorum_tick_interval, {statistics}}}
 ]}},
 {{ra, [{{wal_max_size_bytes, 67108864}}]}},
 {{rabbitmq_management, [{{tcp_config, [{{ip, "127.0.0.1"}}, {{port, {management}}}]}}]}},
 {{rabbitmq_management_agent, [
   {{sample_retention_policies, [
     {{global, [{{605, {sample}}}, {{3660, 60}}]}},
     {{basic, [{{605, {sample}}}, {{3660, 60}}]}},
     {{detailed, [{{605, {sample}}}]}}
   ]}}
 ]}}
].
"#
    )
}

fn tls_terms(tls: &Tls) -> String {
    let Tls { port, certificate, key } = tls;
    // A Rust string in debug form is an Erlang one, but for characters that no path of ours has.
    format!(
        r#"
   {{ssl_listeners, [{{"127.0.0.1", {port}}}]}},
   {{ssl_options, [{{certfile, {certificate:?}}}, {{keyfile, {key:?}}}, {{verify, verify_none}}]}},"#
    )
}

/// The plugins to run.
pub(crate) fn plugins(management: bool) -> &'static str {
    if management { "[rabbitmq_management].\n" } else { "[].\n" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_listener_is_on_loopback() {
        let ports = Ports { amqp: 1, distribution: 2, epmd: 3, management: 4 };
        let text = erlang_terms(&Settings::new("x"), &ports);
        assert!(text.contains(r#"{tcp_listeners, [{"127.0.0.1", 1}]}"#), "{text}");
        assert!(text.contains(r#"{tcp_config, [{ip, "127.0.0.1"}, {port, 4}]}"#), "{text}");
    }

    #[test]
    fn tls_listens_on_loopback_too() {
        let tls = Tls { port: 5, certificate: "a/b.pem".into(), key: "k.pem".into() };
        let text = erlang_terms(&Settings { tls: Some(tls), ..Settings::new("x") }, &Ports::free());
        assert!(text.contains(r#"{ssl_listeners, [{"127.0.0.1", 5}]}"#), "{text}");
        assert!(text.contains(r#"{certfile, "a/b.pem"}, {keyfile, "k.pem"}"#), "{text}");
    }

    #[test]
    fn statistics_are_never_collected_without_a_pause() {
        let settings = Settings { statistics_every: Duration::ZERO, ..Settings::new("x") };
        assert!(erlang_terms(&settings, &Ports::free()).contains("{collect_statistics_interval, 1}"));
    }

    #[test]
    fn the_management_plugin_runs_only_when_it_is_wanted() {
        assert_eq!(plugins(false), "[].\n");
        assert_eq!(plugins(true), "[rabbitmq_management].\n");
    }
}
