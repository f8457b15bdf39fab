use super::{ProcessingPipeline, named, pipeline};
use serde_json::{Value, json};

fn accepted(pipeline: &ProcessingPipeline) {
    if let Err(errors) = pipeline.validate_cel() {
        panic!("refused: {errors}");
    }
}

/// That exactly one rule refuses it, at this place and beginning with these words.
fn refused(pipeline: &ProcessingPipeline, place: &str, words: &str) {
    let errors = pipeline.validate_cel().expect_err(words);
    let texts: Vec<_> = errors.iter().map(|error| (error.field_path.as_str(), error.message.as_str())).collect();
    assert!(matches!(texts[..], [(at, text)] if at == place && text.starts_with(words)), "{texts:#?}");
}

fn exec(env: &Value) -> Value {
    json!({"demo": null, "exec": {"image": "i", "command": ["c"], "env": env}})
}

fn handler(handler: Value) -> ProcessingPipeline {
    pipeline(json!({"processor": {"handler": handler}}))
}

#[test]
fn a_name_must_fit_the_objects_that_are_named_after_it() {
    accepted(&named(&"a".repeat(50), json!({})));
    for name in ["a".repeat(51), "9lives".into(), "Thumbs".into(), "a.b".into(), "a-".into()] {
        refused(&named(&name, json!({})), "", "metadata.name becomes part of other names");
    }
}

#[test]
fn an_exchange_leaves_rabbitmqs_own_names_alone() {
    accepted(&pipeline(json!({"topology": {"exchange": "amqp"}})));
    refused(&pipeline(json!({"topology": {"exchange": "amq.direct"}})), "spec.topology", "names that start with amq.");
}

#[test]
fn an_exchange_cannot_change_but_its_default_may_be_written_out() {
    let (default, written) = (pipeline(json!({})), pipeline(json!({"topology": {"exchange": "thumbnails"}})));
    default.validate_cel_update(&written).expect("the same exchange");
    written.validate_cel_update(&default).expect("the same exchange");
    let other = pipeline(json!({"topology": {"exchange": "images"}}));
    let errors = other.validate_cel_update(&default).expect_err("another exchange");
    assert!(errors[0].message.starts_with("spec.topology.exchange cannot change"), "{errors}");
}

#[test]
fn a_queue_type_cannot_change() {
    let (quorum, classic) = (pipeline(json!({})), pipeline(json!({"topology": {"queueType": "classic"}})));
    quorum.validate_cel_update(&quorum).expect("no change");
    let errors = classic.validate_cel_update(&quorum).expect_err("a change");
    assert!(errors[0].message.starts_with("topology.queueType cannot change"), "{errors}");
}

#[test]
fn a_journal_has_limits_that_make_sense() {
    let journal = |journal| pipeline(json!({"topology": {"journal": journal}}));
    for limits in [json!({}), json!({"retention": "1m", "maxBytes": "64Mi"}), json!({"maxBytes": "1Pi"})] {
        accepted(&journal(limits));
    }
    for retention in ["59s", "0d", "3651d"] {
        let pipeline = journal(json!({"retention": retention}));
        refused(&pipeline, "spec.topology.journal.retention", "journal.retention must be from 1m");
    }
    for size in ["63Mi", "67108863", "1025Ti"] {
        let pipeline = journal(json!({"maxBytes": size}));
        refused(&pipeline, "spec.topology.journal.maxBytes", "journal.maxBytes must be from 64Mi");
    }
}

#[test]
fn a_fixed_number_of_web_replicas_and_an_autoscaler_exclude_each_other() {
    let postgres = json!({"sqlite": null, "postgres": {"secretRef": {"name": "db", "key": "url"}}});
    accepted(&pipeline(json!({"web": {"autoscaling": {}, "store": postgres}})));
    let both = pipeline(json!({"web": {"replicas": 2, "autoscaling": {}, "store": postgres}}));
    refused(&both, "spec.web", "web.replicas and web.autoscaling exclude each other");
}

#[test]
fn sqlite_serves_one_replica() {
    accepted(&pipeline(json!({"web": {"replicas": 1}})));
    for web in [json!({"replicas": 2}), json!({"autoscaling": {}})] {
        refused(&pipeline(json!({"web": web})), "spec.web", "web.store.sqlite lives on one volume");
    }
}

#[test]
fn there_is_exactly_one_store() {
    let postgres = json!({"secretRef": {"name": "db", "key": "url"}});
    accepted(&pipeline(json!({"web": {"store": {"postgres": postgres}}})));
    for store in [json!({}), json!({"sqlite": {}, "postgres": postgres})] {
        refused(&pipeline(json!({"web": {"store": store}})), "spec.web.store", "choose exactly one store");
    }
}

#[test]
fn an_autoscalers_bounds_are_in_order() {
    let web = |autoscaling| {
        let store = json!({"postgres": {"secretRef": {"name": "db", "key": "url"}}});
        pipeline(json!({"web": {"autoscaling": autoscaling, "store": store}}))
    };
    accepted(&web(json!({"minReplicas": 3, "maxReplicas": 3})));
    refused(&web(json!({"minReplicas": 11})), "spec.web.autoscaling", "autoscaling.minReplicas is above");
}

#[test]
fn results_are_kept_for_a_while() {
    accepted(&pipeline(json!({"web": {"deadLetterRetention": "14d"}})));
    refused(
        &pipeline(json!({"web": {"deadLetterRetention": "0d"}})),
        "spec.web.deadLetterRetention",
        "deadLetterRetention must be above 0s",
    );
    for retention in ["500ms", "7d", "1d12h", "3650d"] {
        accepted(&pipeline(json!({"web": {"retention": retention}})));
    }
    for retention in ["0s", "0d", "87601h", "3650d1h", "99999d"] {
        refused(
            &pipeline(json!({"web": {"retention": retention}})),
            "spec.web.retention",
            "retention must be above 0s",
        );
    }
}

#[test]
fn a_managed_processor_has_exactly_one_handler() {
    accepted(&handler(json!({"demo": null, "http": {"image": "i", "port": 80}})));
    for handlers in [json!({"demo": null}), exec(&json!([])), json!({"http": {"image": "i", "port": 80}})] {
        let mut pipeline = handler(handlers.clone());
        if handlers.get("exec").is_some() || handlers.get("http").is_some() {
            pipeline.spec.processor.handler.demo = Some(crate::crd::handler::DemoHandler::default());
        }
        refused(&pipeline, "spec.processor", "say what does the work");
    }
}

#[test]
fn an_unmanaged_processor_needs_no_handler() {
    accepted(&pipeline(json!({"processor": {"managed": false, "handler": null}})));
    accepted(&pipeline(json!({"processor": {"managed": false}})));
}

#[test]
fn somebody_elses_scaling_needs_a_number_to_begin_with() {
    accepted(&pipeline(json!({"processor": {"replicas": 0, "scaling": {"mode": "External"}}})));
    let without = pipeline(json!({"processor": {"scaling": {"mode": "External"}}}));
    refused(&without, "spec.processor", "scaling.mode External leaves the number of replicas to others");
}

#[test]
fn a_timeout_stays_below_the_brokers() {
    accepted(&pipeline(json!({"processor": {"timeout": "29m59s"}})));
    for timeout in ["0s", "30m", "24h", "1d"] {
        let pipeline = pipeline(json!({"processor": {"timeout": timeout}}));
        refused(&pipeline, "spec.processor.timeout", "timeout must be above 0s and below 30m");
    }
}

#[test]
fn retry_delays_grow_within_a_week() {
    let retry = |initial: &str, max: &str| {
        pipeline(json!({"processor": {"retry": {"initialDelay": initial, "maxDelay": max}}}))
    };
    accepted(&retry("1m", "60s"));
    accepted(&retry("24h", "7d"));
    refused(&retry("1d1s", "24h"), "spec.processor.retry", "retry.initialDelay must be above 0s and not above");
    refused(&retry("61s", "1m"), "spec.processor.retry", "retry.initialDelay must be above 0s and not above");
    refused(&retry("0s", "1m"), "spec.processor.retry", "retry.initialDelay must be above 0s and not above");
    refused(&retry("1s", "169h"), "spec.processor.retry", "retry.maxDelay must not exceed a week");
}

#[test]
fn scaling_bounds_are_in_order_and_have_one_target() {
    let scaling = |scaling| pipeline(json!({"processor": {"scaling": scaling}}));
    accepted(&scaling(json!({"minReplicas": 20, "drainSeconds": 30})));
    refused(&scaling(json!({"minReplicas": 21})), "spec.processor.scaling", "scaling.minReplicas is above");
    let both = scaling(json!({"backlogPerReplica": 1, "drainSeconds": 30}));
    refused(&both, "spec.processor.scaling", "scaling.backlogPerReplica and scaling.drainSeconds exclude each other");
}

#[test]
fn an_http_handler_leaves_the_processors_port_and_the_variable_port_alone() {
    let http = |http: Value| handler(json!({"demo": null, "http": http}));
    accepted(&http(json!({"image": "i", "port": 8080, "env": [{"name": "AMQP_URL", "value": "mine"}]})));
    let port = http(json!({"image": "i", "port": 8081}));
    refused(&port, "spec.processor.handler.http.port", "port 8081 of the pod is the processor's own");
    let env = http(json!({"image": "i", "port": 80, "env": [{"name": "PORT", "value": "80"}]}));
    refused(&env, "spec.processor.handler.http.env", "Warren sets PORT");
}

#[test]
fn an_exec_handler_leaves_the_processors_variables_alone() {
    accepted(&handler(exec(&json!([{"name": "WARRENS", "value": "rabbits"}]))));
    for name in ["AMQP_URL", "AMQP_CA_PEM", "CLOUDAMQP_URL", "WARREN_TIMEOUT"] {
        let pipeline = handler(exec(&json!([{"name": name}])));
        refused(
            &pipeline,
            "spec.processor.handler.exec.env",
            "AMQP_URL, AMQP_CA_PEM, CLOUDAMQP_URL and names that start",
        );
    }
}

#[test]
fn a_variable_has_one_value_from_one_source() {
    let secret = json!({"name": "s", "key": "k"});
    accepted(&handler(exec(&json!([{"name": "A", "valueFrom": {"secretKeyRef": secret}}]))));
    let both = handler(exec(&json!([{"name": "A", "value": "1", "valueFrom": {"secretKeyRef": secret}}])));
    refused(&both, "spec.processor.handler.exec.env[0]", "an environment variable has either value or valueFrom");
    let none = handler(exec(&json!([{"name": "A", "valueFrom": {}}])));
    refused(&none, "spec.processor.handler.exec.env[0].valueFrom", "choose exactly one source");
}
