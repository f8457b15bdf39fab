use super::*;

pub(super) const MINIMAL: &str = "
apiVersion: warren.dev/v1alpha1
kind: ProcessingPipeline
metadata: {name: thumbnails}
spec:
  broker: {secretRef: {name: rabbitmq, key: url}}
  processor:
    handler: {demo: {}}
";

/// The refusals of a text, without the file's name.
fn refusals(text: &str) -> Vec<String> {
    let Refusals(refusals) = parse("p.yaml", text).expect_err("refused");
    refusals
        .iter()
        .map(|refusal| refusal.to_string().strip_prefix("p.yaml: ").expect("the file's name").to_owned())
        .collect()
}

/// The refusals of the minimal pipeline with one more line in its `spec.processor`.
fn with_line(line: &str) -> Vec<String> {
    refusals(&format!("{MINIMAL}    {line}\n"))
}

#[test]
fn pipelines_and_secrets_are_read_and_the_rest_is_listed() {
    let secret =
        "---\napiVersion: v1\nkind: Secret\nmetadata: {name: rabbitmq}\nstringData: {url: 'amqp://localhost'}\n";
    let service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: rabbitmq}\n---\n";
    let manifest = parse("p.yaml", &format!("{MINIMAL}{secret}{service}")).expect("valid");
    assert_eq!(manifest.pipelines[0].name, "thumbnails");
    assert_eq!(manifest.ignored, ["Service/rabbitmq"]);
    let broker = &manifest.pipelines[0].broker;
    assert_eq!(manifest.secret_value(None, broker).as_deref(), Some("amqp://localhost"));
    assert_eq!(manifest.secret_value(Some("elsewhere"), broker), None);
}

#[test]
fn data_of_a_secret_is_decoded_and_string_data_wins_over_it() {
    let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: rabbitmq, namespace: images}\ndata: {url: YQ==, key: Yg==}\nstringData: {url: c}\n";
    let manifest = parse("p.yaml", &format!("{MINIMAL}{secret}")).expect("valid");
    let value =
        |key: &str| manifest.secret_value(Some("images"), &SecretKeyRef { name: "rabbitmq".into(), key: key.into() });
    assert_eq!((value("url").as_deref(), value("key").as_deref(), value("other")), (Some("c"), Some("b"), None));
}

#[test]
fn an_explicit_null_is_the_same_as_nothing() {
    let manifest = parse("p.yaml", &format!("{MINIMAL}    retry:\n    scaling: {{minReplicas: null}}\n  web: ~\n"));
    assert!(manifest.expect("valid").pipelines[0].web.is_some());
}

#[test]
fn unknown_fields_come_with_the_one_that_was_meant() {
    let document = "ProcessingPipeline/thumbnails";
    assert_eq!(
        refusals(&MINIMAL.replace("processor:", "procesor:")),
        [format!("{document}: spec.procesor: unknown field; did you mean `processor`?")]
    );
    assert_eq!(
        refusals(&MINIMAL.replace("handler:", "handlr:")),
        [format!("{document}: spec.processor.handlr: unknown field; did you mean `handler`?")]
    );
    assert_eq!(
        refusals(&MINIMAL.replace("{name: thumbnails}", "{name: thumbnails, lables: {}}")),
        [format!("{document}: metadata.lables: unknown field; did you mean `labels`?")]
    );
    assert_eq!(
        refusals(&format!("{MINIMAL}  replicas: 4\n")),
        [format!("{document}: spec.replicas: unknown field; known here: broker, processor, topology, web")]
    );
}

#[test]
fn types_ranges_choices_and_patterns_are_refused_in_words() {
    for (line, expected) in [
        ("timeout: 5", "timeout: expected a text, found `5`; put it in quotes"),
        (
            "timeout: 1w",
            "timeout: `1w` is not a duration: write digits with a unit each, such as 500ms, 90s, 5m, 24h, 1h30m or 7d",
        ),
        ("concurrency: 0", "concurrency: `0` is too small; write 1 or more"),
        ("concurrency: 1.5", "concurrency: expected a whole number, found `1.5`"),
        ("retry: 5", "retry: expected fields, one per line and indented, found `5`"),
        ("scaling: {mode: external}", "scaling.mode: `external` is not possible; did you mean `External`?"),
        ("scaling: {mode: Automatic}", "scaling.mode: `Automatic` is not possible; choose Backlog or External"),
        (
            "template: {spec: {nodeSelecter: {a: b}}}",
            "template.spec.nodeSelecter: unknown field; it takes what spec.template of a Deployment takes (kubectl explain deployment.spec.template)",
        ),
    ] {
        assert_eq!(with_line(line), [format!("ProcessingPipeline/thumbnails: spec.processor.{expected}")]);
    }
}

#[test]
fn the_api_servers_rules_hold_for_files_too() {
    let texts = with_line("timeout: 1h");
    assert!(
        texts[0].starts_with("ProcessingPipeline/thumbnails: spec.processor.timeout: timeout must be above 0s"),
        "{texts:?}"
    );
    let texts = refusals(&MINIMAL.replace("thumbnails", "Thumbnails"));
    assert!(texts[0].starts_with("ProcessingPipeline/Thumbnails: metadata.name becomes part"), "{texts:?}");
    let exec = "exec: {image: i, command: [c], env: [{name: A}, {name: A}]}";
    let texts = refusals(&MINIMAL.replace("demo: {}", exec));
    assert_eq!(
        texts,
        [
            "ProcessingPipeline/thumbnails: spec.processor.handler.exec.env[1].name: `A` is there twice; remove one of them"
        ]
    );
}

#[test]
fn everything_that_is_wrong_is_reported_together() {
    let second =
        MINIMAL.replace("broker: {secretRef: {name: rabbitmq, key: url}}", "web: {replicas: 3, retention: 1w}");
    let texts = refusals(&format!("- a list\n---{}---{second}", MINIMAL.replace("demo", "dmeo")));
    let beginnings = [
        "document 1: not a Kubernetes object",
        "ProcessingPipeline/thumbnails: spec.processor.handler.dmeo: unknown field; did you mean `demo`?",
        "ProcessingPipeline/thumbnails: spec.broker: missing (How to reach RabbitMQ)",
        "ProcessingPipeline/thumbnails: spec.web.retention: `1w` is not a duration",
        "ProcessingPipeline/thumbnails: spec.web: web.store.sqlite lives on one volume",
    ];
    assert_eq!(texts.len(), beginnings.len(), "{texts:#?}");
    for (text, beginning) in texts.iter().zip(beginnings) {
        assert!(text.starts_with(beginning), "{text}");
    }
}

#[test]
fn two_pipelines_of_one_name_are_refused_unless_their_namespaces_differ() {
    let elsewhere = MINIMAL.replace("{name: thumbnails}", "{name: thumbnails, namespace: elsewhere}");
    assert_eq!(parse("p.yaml", &format!("{MINIMAL}---{elsewhere}")).expect("valid").pipelines.len(), 2);
    let by_default = MINIMAL.replace("{name: thumbnails}", "{name: thumbnails, namespace: default}");
    assert_eq!(
        refusals(&format!("{MINIMAL}---{by_default}")),
        [
            "ProcessingPipeline/thumbnails: metadata.name: a second pipeline of this name (the first is in p.yaml); rename one of them"
        ]
    );
}

#[test]
fn a_file_without_a_pipeline_says_what_it_has_instead() {
    assert!(
        refusals("# nothing\n")[0].starts_with("no ProcessingPipeline in it (it is empty); a pipeline begins with")
    );
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n";
    assert!(refusals(service)[0].starts_with("no ProcessingPipeline in it (found Service/s); "));
}

#[test]
fn slips_in_kind_and_version_are_recognised() {
    for (slip, expected) in [
        (
            MINIMAL.replace("warren.dev/v1alpha1", "warren.dev/v1"),
            "apiVersion: `warren.dev/v1` has no ProcessingPipeline; write `warren.dev/v1alpha1`",
        ),
        (
            MINIMAL.replace("kind: ProcessingPipeline", "kind: ProcessingPipline"),
            "kind: `ProcessingPipline` is not known; did you mean `ProcessingPipeline`?",
        ),
        (MINIMAL.replace("kind: ProcessingPipeline", ""), "kind: missing; a pipeline has `kind: ProcessingPipeline`"),
    ] {
        let texts = refusals(&slip);
        assert!(texts.len() == 1 && texts[0].ends_with(expected), "{texts:?}");
    }
}

#[test]
fn what_is_no_yaml_is_refused_with_its_place() {
    assert_eq!(refusals("a: [1,2\nb: c\n"), ["not YAML: illegal placement of ':' indicator at line 2, column 2"]);
    assert_eq!(
        refusals("a: 1\na: 2\n"),
        ["not YAML: duplicate mapping key `a` is not allowed here at line 2, column 1"]
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let Refusals(refusals) = read(&["no/such.yaml".into()]).expect_err("refused");
    assert!(refusals[0].to_string().starts_with("no/such.yaml: no such file"), "{}", refusals[0]);
}
