//! Dead letters through the API server, with nothing but a kubeconfig and the cluster's own roles.

use super::site::{SECONDS, SOON, Site, pipeline};
use serde_json::{Value, json};
use std::process::{Command, Output};
use tempfile::NamedTempFile;
use warren_testkit::{cluster::Namespace, eventually};

/// The kubeconfig of somebody who has a role in this namespace, which is the kubeconfig's.
async fn person(namespace: &Namespace, name: &str, role: &str) -> NamedTempFile {
    namespace.kubectl(&["create", "serviceaccount", name]).await.expect("is made");
    let account = format!("--serviceaccount={}:{name}", namespace.name());
    namespace.kubectl(&["create", "rolebinding", name, role, &account]).await.expect("is bound");
    let token = namespace.kubectl(&["create", "token", name]).await.expect("a token");
    let told = namespace.kubectl(&["config", "view", "--raw", "--minify", "--flatten", "-o", "json"]).await;
    let mut config: Value = serde_json::from_str(&told.expect("a kubeconfig")).expect("JSON");
    config["users"][0]["user"] = json!({"token": token.trim()});
    config["contexts"][0]["context"]["namespace"] = json!(namespace.name());
    let file = NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), config.to_string()).expect("is written");
    file
}

fn dead_letters(kubeconfig: &NamedTempFile, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warren-operator"));
    command.arg("dead-letters").args(arguments).env("KUBECONFIG", kubeconfig.path()).env_remove("WARREN_URL");
    command.output().expect("runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_edit_a_namespace_lists_and_replays_its_dead_letters_through_the_api_server() {
    let Some(site) = Site::new("dead-letters").await else { return };
    let editor = person(&site.namespace, "editor", "--clusterrole=edit").await;
    let viewer = person(&site.namespace, "viewer", "--clusterrole=view").await;
    // As docs/dead-letters.md has it.
    let role = ["create", "role", "replayer", "--verb=get,create", "--resource=services/proxy"];
    let role = [&role[..], &["--resource-name=p-web:http"]].concat();
    site.namespace.kubectl(&role).await.expect("is made");
    let replayer = person(&site.namespace, "replayer", "--role=replayer").await;
    let processor = json!({"handler": {"demo": {"delay": "0s"}}, "scaling": {"minReplicas": 0}});
    site.apply(&pipeline("p", json!({"processor": processor}))).await;
    site.ready("p").await;
    let base = site.base("p").await;
    // A processor has to be started first, which takes longer.
    let id = site.submit_whole(&base, json!({"data": "late", "expiresIn": "1ms"})).await;
    let record = site.outcome(&base, &id).await;
    assert_eq!(record["error"]["reason"], "expired", "{record}");

    for kubeconfig in [&editor, &replayer] {
        let listed = eventually("the rights to be known", SECONDS, async || {
            let output = dead_letters(kubeconfig, &["list", "p", "--output", "json"]);
            if output.status.success() { Ok(output.stdout) } else { Err(text(&output.stderr).to_owned()) }
        })
        .await;
        let listed: Value = serde_json::from_slice(&listed).expect("is JSON");
        assert_eq!(listed["deadLetters"][0]["requestId"], json!(id), "{listed}");
    }
    let namespace = ["--namespace", site.namespace.name()];
    let replayed = dead_letters(&replayer, &[&["replay", "p", "--all", "--wait"], &namespace[..]].concat());
    assert!(replayed.status.success(), "{}", text(&replayed.stderr));
    assert!(text(&replayed.stdout).contains("done: 1 of 1 replayed"), "{}", text(&replayed.stdout));
    eventually("the replay to succeed", SOON, async || {
        let record = site.outcome(&base, &id).await;
        if record["status"] == "succeeded" { Ok(()) } else { Err(record.to_string()) }
    })
    .await;
    let record = site.outcome(&base, &id).await;
    assert_eq!((&record["replays"], &record["result"]), (&json!(1), &json!("late-processed")), "{record}");

    for (kubeconfig, pipeline, word) in
        [(&viewer, "p", "forbidden"), (&editor, "unknown", "not found"), (&replayer, "q", "forbidden")]
    {
        let refused = dead_letters(kubeconfig, &["list", pipeline]);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains(word) && said.contains(pipeline), "{word}: {said}");
    }
}
