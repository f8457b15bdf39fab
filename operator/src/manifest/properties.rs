//! What holds for every file that is given as a pipeline.

use super::{Refusals, parse, tests::MINIMAL};
use crate::build::{self, Images};
use proptest::prelude::*;
use warren_testkit::inputs;

/// Pipelines as JSON, which is YAML too: one that says everything, and the smallest.
const PIPELINES: &[&str] = &[
    r#"{"apiVersion":"warren.dev/v1alpha1","kind":"ProcessingPipeline","metadata":{"name":"thumbnails"},
        "spec":{"broker":{"secretRef":{"name":"rabbitmq","key":"url"}},"processor":{"handler":{"demo":{}}}}}"#,
    r#"{"apiVersion":"warren.dev/v1alpha1","kind":"ProcessingPipeline",
        "metadata":{"name":"thumbnails","namespace":"a","labels":{"a":"b"},"annotations":{"c":"d"}},
        "spec":{
          "broker":{"secretRef":{"name":"rabbitmq","key":"url"}},
          "topology":{"exchange":"x","queueType":"classic","maxLength":10,"deletionPolicy":"Delete"},
          "web":{"replicas":1,"store":{"sqlite":{"size":"1Gi"}},"retention":"24h","maxBodyBytes":1048576,
                 "template":{"spec":{"nodeSelector":{"a":"b"}}}},
          "processor":{"handler":{"exec":{"image":"i","command":["c","d"],"mode":"Stream","env":[{"name":"A","value":"b"}]}},
            "concurrency":4,"timeout":"2m","retry":{"maxAttempts":5,"initialDelay":"1s","factor":4,"maxDelay":"5m"},
            "scaling":{"minReplicas":0,"maxReplicas":20,"backlogPerReplica":10,"idleSeconds":30,"mode":"Backlog"},
            "template":{"metadata":{"labels":{"a":"b"}},"spec":{"volumes":[{"name":"v","emptyDir":{}}]}}}}}"#,
    r#"{"apiVersion":"warren.dev/v1alpha1","kind":"ProcessingPipeline","metadata":{"name":"p"},
        "spec":{"broker":{"secretRef":{"name":"r","key":"u"}},
          "web":{"autoscaling":{"minReplicas":2,"maxReplicas":6,"targetCPUUtilizationPercentage":50},
                 "store":{"postgres":{"secretRef":{"name":"db","key":"url"}}}},
          "processor":{"handler":{"http":{"image":"i","port":8000,"path":"/"}},"scaling":{"mode":"External"},"replicas":2}}}"#,
];

const FILES: &[&str] = &[
    MINIMAL,
    "apiVersion: v1\nkind: Secret\nmetadata: {name: rabbitmq}\nstringData: {url: 'amqp://localhost'}\n---\n",
    "apiVersion: v1\nkind: Secret\nmetadata: {name: rabbitmq}\ndata: {url: YQ==}\n",
    "a: &a [1, 2]\nb: *a\nc: !!binary YQ==\nd: |\n  text\n",
];

proptest! {
    #[test]
    fn no_file_makes_the_reader_panic(text in inputs::texts(FILES)) {
        let _ = parse("p.yaml", &text);
    }

    #[test]
    fn every_pipeline_is_refused_in_its_own_name_or_can_be_built(value in inputs::altered(PIPELINES)) {
        let text = value.to_string();
        match parse("p.yaml", &text) {
            Ok(manifest) => {
                for pipeline in &manifest.pipelines {
                    prop_assert!(!pipeline.topology.plan().queues.is_empty());
                    let _ = build::objects(pipeline, &Images::default()).values();
                }
            }
            Err(Refusals(refusals)) => {
                prop_assert!(!refusals.is_empty());
                for refusal in refusals {
                    prop_assert!(!refusal.to_string().is_empty());
                }
            }
        }
    }
}

/// Lines of a pipeline, in any number and order, some of them cut.
fn mutilated() -> impl Strategy<Value = String> {
    let lines: Vec<&str> = MINIMAL.lines().collect();
    let line =
        (0..lines.len(), 0..60_usize, "[:{}\\[\\]&*!|>\\-~\"'a0 ]{0,3}").prop_map(move |(index, length, noise)| {
            let kept: String = lines[index].chars().take(length).collect();
            format!("{kept}{noise}\n")
        });
    proptest::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC*") {
        let _ = parse("p.yaml", &text);
    }

    #[test]
    fn no_mutilated_pipeline_makes_the_reader_panic(text in mutilated()) {
        let _ = parse("p.yaml", &text);
    }

    #[test]
    fn any_value_in_any_section_is_read_or_refused_with_its_document(
        section in prop::sample::select(vec!["broker", "topology", "web", "processor"]),
        value in prop::sample::select(vec!["~", "[]", "{}", "5", "x", "[{}]", "{a: {b: [1]}}", "{template: {spec: 5}}"]),
    ) {
        let lines: Vec<_> = MINIMAL.lines().filter(|line| !line.contains("broker:") || section != "broker").collect();
        let mut text = lines.join("\n");
        if section == "processor" {
            text = text.replace("processor:\n    handler: {demo: {}}", &format!("processor: {value}"));
        } else {
            text.push_str(&format!("\n  {section}: {value}\n"));
        }
        if let Err(Refusals(refusals)) = parse("p.yaml", &text) {
            for refusal in refusals {
                prop_assert_eq!(refusal.document.as_deref(), Some("ProcessingPipeline/thumbnails"), "{}", text);
            }
        }
    }
}
