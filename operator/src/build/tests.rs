use super::*;
use crate::{crd::ProcessingPipeline, validate};
use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde_json::json;

fn pipeline(web: Value, processor: Value) -> Pipeline {
    let mut resource: ProcessingPipeline = serde_json::from_value(json!({
        "apiVersion": "warren.dev/v1alpha1", "kind": "ProcessingPipeline",
        "metadata": {"name": "thumbnails", "namespace": "images", "uid": "1234"},
        "spec": {"broker": {"secretRef": {"name": "rabbitmq", "key": "url"}}, "web": web, "processor": processor},
    }))
    .expect("a pipeline");
    resource.spec.processor.handler.demo.get_or_insert_default();
    if resource.spec.processor.handler.http.is_some() || resource.spec.processor.handler.exec.is_some() {
        resource.spec.processor.handler.demo = None;
    }
    validate::validate(&resource).expect("valid")
}

fn built(web: Value, processor: Value) -> Objects {
    objects(&pipeline(web, processor), &Images::default())
}

fn pod(deployment: Option<&Deployment>) -> PodSpec {
    deployment.expect("a deployment").spec.template.spec.clone().expect("a pod")
}

fn containers(pod: &PodSpec) -> Vec<&Container> {
    pod.init_containers.iter().flatten().chain(&pod.containers).collect()
}

fn variable<'a>(container: &'a Container, name: &str) -> Option<&'a str> {
    container.env.iter().flatten().find(|variable| variable.name == name)?.value.as_deref()
}

fn every_kind_of_handler() -> [Value; 3] {
    [
        json!({"demo": {}}),
        json!({"http": {"image": "users", "port": 8000}}),
        json!({"exec": {"image": "users", "command": ["c"]}}),
    ]
}

#[test]
fn everything_meets_pod_security_restricted() {
    for handler in every_kind_of_handler() {
        let objects = built(json!({}), json!({"handler": handler}));
        for pod in [pod(objects.web_deployment.as_ref()), pod(objects.processor_deployment.as_ref())] {
            let security = pod.security_context.as_ref().expect("a security context");
            assert_eq!((security.run_as_non_root, security.run_as_user), (Some(true), Some(65532)));
            assert_eq!(security.seccomp_profile.as_ref().map(|profile| profile.type_.as_str()), Some("RuntimeDefault"));
            assert_eq!(pod.automount_service_account_token, Some(false));
            for container in containers(&pod) {
                let security = container.security_context.as_ref().expect("a security context");
                assert_eq!(security.allow_privilege_escalation, Some(false), "{}", container.name);
                assert_eq!(security.read_only_root_filesystem, Some(true), "{}", container.name);
                let dropped = security.capabilities.as_ref().and_then(|capabilities| capabilities.drop.clone());
                assert_eq!(dropped, Some(vec!["ALL".to_owned()]), "{}", container.name);
                assert!(container.resources.is_some(), "{}", container.name);
            }
        }
    }
}

#[test]
fn the_processor_deployment_never_names_a_number_of_replicas() {
    for processor in [json!({}), json!({"replicas": 3, "scaling": {"mode": "External"}})] {
        let objects = built(json!({}), processor);
        assert_eq!(objects.processor_deployment.expect("managed").spec.replicas, None);
    }
}

#[test]
fn a_handler_may_finish_its_work_before_its_pod_ends() {
    let objects = built(json!({}), json!({"timeout": "90s500ms"}));
    assert_eq!(pod(objects.processor_deployment.as_ref()).termination_grace_period_seconds, Some(91 + 30));
}

#[test]
fn sqlite_gets_a_volume_and_never_two_pods_at_a_time() {
    let objects = built(json!({"store": {"sqlite": {"size": "5Gi"}}}), json!({}));
    let deployment = objects.web_deployment.as_ref().expect("managed");
    let strategy = deployment.spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
    assert_eq!(strategy, Some("Recreate"));
    let claim = objects.web_store.as_ref().expect("a claim");
    let pod = pod(Some(deployment));
    let mounted = pod.volumes.iter().flatten().find_map(|volume| volume.persistent_volume_claim.as_ref());
    assert_eq!(mounted.map(|mounted| &mounted.claim_name), claim.metadata.name.as_ref());
    assert_eq!(objects.web_disruption_budget, None);
}

#[test]
fn stored_results_outlive_the_pipeline_unless_the_user_chose_otherwise() {
    let mut pipeline = pipeline(json!({}), json!({}));
    let owners = |pipeline: &Pipeline| {
        let objects = objects(pipeline, &Images::default());
        let web = objects.web_deployment.expect("managed").metadata.owner_references;
        (web, objects.web_store.expect("a claim").metadata.owner_references)
    };
    let (web, store) = owners(&pipeline);
    assert_eq!(web.expect("owned")[0].uid, "1234");
    assert_eq!(store, None);
    pipeline.deletion_policy = crate::crd::topology::DeletionPolicy::Delete;
    let (web, store) = owners(&pipeline);
    assert_eq!(web, store);
}

#[test]
fn postgres_lets_replicas_come_before_others_go() {
    let store = json!({"postgres": {"secretRef": {"name": "db", "key": "url"}}});
    let objects = built(json!({"replicas": 3, "store": store}), json!({}));
    assert_eq!(objects.web_store, None);
    assert!(objects.web_disruption_budget.is_some() && objects.web_autoscaler.is_none());
    let deployment = objects.web_deployment.expect("managed");
    assert_eq!(deployment.spec.replicas, Some(3));
    let container = &pod(Some(&deployment)).containers[0];
    assert_eq!(variable(container, environment::SQLITE_PATH), None);
    let url = container.env.iter().flatten().find(|variable| variable.name == environment::POSTGRES_URL);
    let secret = url.and_then(|url| url.value_from.as_ref()?.secret_key_ref.as_ref()).expect("a secret");
    assert_eq!((secret.name.as_str(), secret.key.as_str()), ("db", "url"));
}

#[test]
fn an_autoscaled_web_side_leaves_the_replicas_to_its_autoscaler() {
    let store = json!({"postgres": {"secretRef": {"name": "db", "key": "url"}}});
    let objects = built(json!({"autoscaling": {"maxReplicas": 7}, "store": store}), json!({}));
    let deployment = objects.web_deployment.expect("managed");
    assert_eq!(deployment.spec.replicas, None);
    let requests = pod(Some(&deployment)).containers[0].resources.clone().and_then(|resources| resources.requests);
    assert!(requests.expect("requests").contains_key("cpu"), "a share of nothing cannot be aimed at");
    let autoscaler = objects.web_autoscaler.expect("wanted").spec;
    assert_eq!((autoscaler.min_replicas, autoscaler.max_replicas), (Some(2), 7));
    assert_eq!(Some(&autoscaler.scale_target_ref.name), deployment.metadata.name.as_ref());
    let down = autoscaler.behavior.and_then(|behavior| behavior.scale_down).expect("rules");
    assert_eq!(down.stabilization_window_seconds, Some(300));
    assert!(objects.web_disruption_budget.is_some());
}

#[test]
fn each_side_is_replaced_for_its_own_secrets() {
    let objects = built(json!({}), json!({})).with_secrets_revisions("1.7", "1");
    let revision = |deployment: Option<Deployment>| {
        let annotations = deployment?.spec.template.metadata?.annotations?;
        annotations.get(SECRETS_ANNOTATION).cloned()
    };
    assert_eq!(revision(objects.web_deployment).as_deref(), Some("1.7"));
    assert_eq!(revision(objects.processor_deployment).as_deref(), Some("1"));
}

#[test]
fn an_http_handler_runs_beside_the_processor_from_before_to_after() {
    let http = json!({"image": "users", "port": 8000, "path": "/resize", "command": ["serve", "$(PORT)"]});
    let objects = built(json!({}), json!({"handler": {"http": http}}));
    let pod = pod(objects.processor_deployment.as_ref());
    let handler = &pod.init_containers.as_ref().expect("a sidecar")[0];
    assert_eq!((handler.name.as_str(), handler.restart_policy.as_deref()), ("handler", Some("Always")));
    assert_eq!(variable(handler, "PORT"), Some("8000"));
    assert_eq!(handler.command.as_deref(), Some(&["serve".to_owned(), "$(PORT)".to_owned()][..]));
    assert!(handler.startup_probe.is_some());
    assert_eq!(variable(&pod.containers[0], environment::HTTP_URL), Some("http://127.0.0.1:8000/resize"));
}

#[test]
fn an_exec_handler_runs_in_the_users_image_with_warrens_program() {
    let exec =
        json!({"image": "users", "command": ["sh", "-c", "echo $HOME"], "env": [{"name": "A", "value": "$(B)"}]});
    let objects = built(json!({}), json!({"handler": {"exec": exec}}));
    let pod = pod(objects.processor_deployment.as_ref());
    let (install, main) = (&pod.init_containers.as_ref().expect("an installer")[0], &pod.containers[0]);
    assert_eq!(install.image, Some(Images::default().processor));
    assert_eq!(install.command.as_ref().expect("a command").last(), main.command.as_ref().expect("a command").first());
    assert_eq!((main.name.as_str(), main.image.as_deref()), ("processor", Some("users")));
    assert_eq!(variable(main, environment::EXEC_COMMAND), Some(r#"["sh","-c","echo $$HOME"]"#), "kept from expansion");
    assert_eq!(variable(main, "A"), Some("$(B)"), "the user's own is expanded as in any pod");
}

#[test]
fn a_template_is_merged_over_what_warren_builds() {
    let template = json!({
        "metadata": {"labels": {"team": "images", "app.kubernetes.io/instance": "mine"}},
        "spec": {
            "nodeSelector": {"disk": "ssd"},
            "containers": [{"name": "processor", "env": [{"name": "WARREN_LOG", "value": "debug"}]},
                           {"name": "sidecar", "image": "users"}],
        },
    });
    let deployment = built(json!({}), json!({"template": template})).processor_deployment.expect("managed");
    let labels =
        deployment.spec.template.metadata.as_ref().and_then(|metadata| metadata.labels.clone()).expect("labels");
    assert_eq!(labels["team"], "images");
    assert_eq!(labels["app.kubernetes.io/instance"], "thumbnails", "or the Deployment would not find its pods");
    let pod = pod(Some(&deployment));
    let names: Vec<_> = pod.containers.iter().map(|container| container.name.as_str()).collect();
    assert_eq!(names, ["processor", "sidecar"]);
    assert_eq!(variable(&pod.containers[0], "WARREN_LOG"), Some("debug"));
    assert_eq!(variable(&pod.containers[0], environment::HANDLER), Some("demo"));
}

#[test]
fn a_side_that_somebody_else_runs_gets_nothing() {
    assert_eq!(built(json!({"managed": false}), json!({"managed": false})), Objects::default());
    let values = built(json!({"managed": false}), json!({})).values();
    let names: Vec<_> = values.iter().map(|object| object["metadata"]["name"].clone()).collect();
    assert_eq!(names, ["thumbnails-processor"; 3]);
}

#[test]
fn no_environment_variable_is_given_twice() {
    for handler in every_kind_of_handler() {
        let objects = built(json!({}), json!({"handler": handler}));
        for pod in [pod(objects.web_deployment.as_ref()), pod(objects.processor_deployment.as_ref())] {
            for container in containers(&pod) {
                let mut names: Vec<_> = container.env.iter().flatten().map(|variable| &variable.name).collect();
                let count = names.len();
                names.sort();
                names.dedup();
                assert_eq!(names.len(), count, "{}", container.name);
            }
        }
    }
}
