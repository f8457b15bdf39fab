//! The API server refuses, hangs or is away while processors are counted, or two operators take turns at it.

use super::{
    scaling::scaled,
    site::{SECONDS, SOON, Site, condition, kubeconfig_through, operator_with, pipeline},
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use warren_testkit::{eventually, free_port, proxy::Proxy};

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_the_api_server_refuses_is_said_and_set_once_it_does_not() {
    let Some(site) = Site::new("refused").await else { return };
    site.apply(&scaled("1s", json!({"maxReplicas": 3, "backlogPerReplica": 1, "idleSeconds": 0}))).await;
    site.ready("p").await;
    let policy = site.refuse_scaling().await;
    let ids = site.submit_many(6).await;
    let condition = site.scaling_reason("ScalingRefused").await;
    let message = condition["message"].as_str().unwrap_or_default();
    assert!(message.contains("no scaling today") && message.contains("calls for"), "{message}");
    assert_eq!((site.processors().await, &condition["status"]), (0, &json!("False")));
    site.event("p", "ScalingRefused", SECONDS).await;

    site.allow_scaling(&policy).await;
    site.all_end_once(&ids).await;
    site.processors_when("sleep", |processors| processors == 0).await;
    site.scaling_reason("Idle").await;
    site.nobody_was_stopped_busy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processors_that_may_not_be_ended_go_on_taking_work() {
    let Some(site) = Site::new("stay").await else { return };
    site.apply(&scaled("0s", json!({"minReplicas": 1, "maxReplicas": 1}))).await;
    site.ready("p").await;
    let policy = site.refuse_scaling().await;
    site.apply(&scaled("0s", json!({"minReplicas": 0, "maxReplicas": 1, "idleSeconds": 0}))).await;
    site.scaling_reason("ScalingRefused").await;
    let base = site.base("p").await;
    for number in 0..10 {
        // It is asked to take nothing for ten seconds before it would go, and told at once that it does not.
        let begun = Instant::now();
        let id = site.submit(&base, json!(number)).await;
        assert_eq!(site.outcome(&base, &id).await["status"], "succeeded");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
    site.scaling_reason("ScalingRefused").await;
    site.allow_scaling(&policy).await;
    site.processors_when("sleep", |processors| processors == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_goes_before_kubernetes_knows_who_is_idle_and_has_done_what_it_was_told() {
    let Some(mut site) = Site::new("unheard").await else { return };
    let scaling = |least: u32| json!({"minReplicas": least, "maxReplicas": 3, "idleSeconds": 0});
    site.apply(&scaled("0s", scaling(3))).await;
    site.ready_processors(3).await;
    let Some(frozen) = site.namespace.cluster().freeze_controllers() else {
        return eprintln!("left out: nobody knows this cluster's controllers");
    };
    site.apply(&scaled("0s", scaling(1))).await;
    site.scaling_refused("has not noted yet which of the processors are idle").await;
    assert_eq!(site.processors().await, 3, "Kubernetes would choose by what it knew before");
    site.namespace.kubectl(&["scale", "deployment", "p-processor", "--replicas=2"]).await.expect("is scaled");
    // Nothing else in the cluster is done meanwhile, so not for as long as it takes to become a condition.
    site.operator.wait_for_line("has not ended as many processors yet as it was told to", SECONDS).await;
    assert_eq!(site.processors().await, 2, "nobody knows which one it will end");
    drop(frozen);
    site.processors_when("one", |processors| processors == 1).await;
    let pod = site.ready_processors(1).await;
    assert_eq!(pod["status"]["replicas"], 1);
    site.nobody_was_stopped_busy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_new_version_does_not_start_nobody_of_the_old_one_goes() {
    let Some(site) = Site::new("stuck").await else { return };
    let with_image = |least: u32, image: &str| {
        let template = json!({"spec": {"containers": [{"name": "processor", "image": image}]}});
        let scaling = json!({"minReplicas": least, "maxReplicas": 3, "idleSeconds": 0});
        let handler = json!({"demo": {"delay": "0s"}});
        pipeline("p", json!({"processor": {"handler": handler, "scaling": scaling, "template": template}}))
    };
    site.apply(&scaled("0s", json!({"minReplicas": 3, "maxReplicas": 3, "idleSeconds": 0}))).await;
    site.ready_processors(3).await;
    site.apply(&with_image(3, "registry.invalid/none:1")).await;
    let two_versions = |object: &Value| object["status"]["updatedReplicas"] == 1 && object["status"]["replicas"] == 4;
    site.namespace.get_when("deployment", "p-processor", "two versions", SOON, two_versions).await;
    site.apply(&with_image(1, "registry.invalid/none:1")).await;
    site.scaling_refused("processors of two versions run").await;
    assert_eq!(site.processors().await, 3, "Kubernetes would end some of the old ones, busy or not");
    site.apply(&scaled("0s", json!({"minReplicas": 1, "maxReplicas": 3, "idleSeconds": 0}))).await;
    site.processors_when("one", |processors| processors == 1).await;
    site.nobody_was_stopped_busy().await;
}

impl Site {
    async fn ready_processors(&self, count: i64) -> Value {
        let ready = |object: &Value| object["status"]["readyReplicas"] == count;
        self.namespace.get_when("deployment", "p-processor", &format!("{count} ready"), SOON, ready).await
    }

    async fn scaling_refused(&self, why: &str) {
        let wanted = |object: &Value| {
            let condition = condition(object, "ScalingActive");
            let message = condition["message"].as_str().unwrap_or_default();
            condition["reason"] == "ScalingRefused" && message.contains(why)
        };
        self.namespace.get_when("pp", "p", why, SOON, wanted).await;
    }

    /// Has the API server refuse every number of replicas here; the policy's name.
    async fn refuse_scaling(&self) -> String {
        let policy = format!("no-scaling-in-{}", self.namespace.name());
        self.apply(&refusal(&policy, self.namespace.name())).await;
        let probe = ["scale", "deployment", "p-web", "--replicas=0", "--dry-run=server"];
        eventually("the policy to be in force", SECONDS, async || match self.namespace.kubectl(&probe).await {
            Err(refusal) if refusal.contains("no scaling today") => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        policy
    }

    async fn allow_scaling(&self, policy: &str) {
        let kinds = "validatingadmissionpolicy,validatingadmissionpolicybinding";
        self.namespace.kubectl(&["delete", kinds, policy]).await.expect("are deleted");
    }
}

/// Refuses every number of replicas in a namespace.
fn refusal(name: &str, namespace: &str) -> String {
    let rule = json!({"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments/scale"]});
    let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name}, "spec": {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "false", "message": "no scaling today"}]}});
    let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
    let binding = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": selector}}});
    format!("{policy}\n---\n{binding}")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_hangs_or_is_away_delays_the_number_and_nothing_else() {
    let Some(mut site) = Site::new("hangs").await else { return };
    site.apply(&scaled("6s", json!({"maxReplicas": 4, "backlogPerReplica": 1, "idleSeconds": 0}))).await;
    site.ready("p").await;
    let (network, kubeconfig) = kubeconfig_through(&site.namespace).await;
    site.operator.kill9();
    site.health = free_port();
    site.operator = operator_with(kubeconfig.path(), &site.namespace, site.health, &["--leader-election=false"]);
    let mut ids = site.submit_many(2).await;
    site.processors_when("two", |processors| processors == 2).await;

    network.swallow();
    ids.extend(site.submit_many(12).await);
    site.operator.wait_for_line("trying again", SOON).await;
    assert_eq!(site.processors().await, 2);
    network.restore();
    site.processors_when("four", |processors| processors == 4).await;

    cut_while_the_work_ends(&site, &network, &ids).await;
    network.restore();
    site.processors_when("sleep", |processors| processors == 0).await;
    site.nobody_was_stopped_busy().await;
}

async fn cut_while_the_work_ends(site: &Site, network: &Proxy, ids: &[String]) {
    network.cut();
    site.all_end_once(ids).await;
    assert!(site.processors().await > 0, "nobody could set another number");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_frozen_ends_when_it_wakes_and_the_other_one_has_gone_on() {
    let Some(mut site) = Site::new("frozen").await else { return };
    site.operator.kill9();
    let lease = ["--lease-name=warren", "--lease-namespace"];
    let start = |identity: &str, health: u16| {
        let identity = format!("--identity={identity}");
        let more = [lease[0], lease[1], site.namespace.name(), &identity];
        super::site::operator(&site.namespace, health, &more)
    };
    let mut first = start("first", free_port());
    site.apply(&scaled("3s", json!({"maxReplicas": 4, "backlogPerReplica": 2, "idleSeconds": 3}))).await;
    site.ready("p").await;
    let health = free_port();
    let second = start("second", health);
    let ids = site.submit_many(24).await;
    site.processors_when("some", |processors| processors >= 2).await;

    first.signal(Signal::SIGSTOP);
    let held = |lease: &Value| lease["spec"]["holderIdentity"] == "second";
    site.namespace.get_when("lease", "warren", "the second to lead", Duration::from_secs(20), held).await;
    (site.operator, site.health) = (second, health);
    first.signal(Signal::SIGCONT);
    let ended = first.wait(SECONDS).await;
    assert!(!ended.success() && first.output().contains("lost the Lease"), "{ended}: {}", first.output());

    site.all_end_once(&ids).await;
    site.processors_when("sleep", |processors| processors == 0).await;
    site.nobody_was_stopped_busy().await;
}
