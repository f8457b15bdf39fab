use std::path::{Path, PathBuf};
use warren_operator::{build::Images, command::render, manifest};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

fn images() -> Images {
    Images { web_service: "warren-web-service:test".into(), processor: "warren-processor:test".into() }
}

fn pipeline_files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory()).expect("the examples");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.retain(|file| std::fs::read_to_string(file).expect("a text").contains("kind: ProcessingPipeline"));
    files.sort();
    files
}

#[test]
fn every_example_renders_as_reviewed() {
    let files = pipeline_files();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let manifest = manifest::read(std::slice::from_ref(&file)).expect("valid");
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        insta::with_settings!({description => format!("render of examples/{name}.yaml"), omit_expression => true}, {
            insta::assert_snapshot!(name, render::text(&manifest, &images()).expect("YAML"));
        });
    }
}

#[test]
fn the_examples_can_live_beside_each_other() {
    let manifest = manifest::read(&pipeline_files()).expect("valid together");
    assert!(manifest.pipelines.iter().any(|pipeline| pipeline.name == "processing"));
}

#[test]
fn the_scripts_in_the_examples_are_those_beside_them() {
    for (example, script) in [("exec-stream.yaml", "primes.py"), ("http.yaml", "shout.py")] {
        let read = |path: &str| std::fs::read_to_string(directory().join(path)).expect("a text");
        let script = read(&format!("handlers/{script}"));
        let unindented: String = read(example).lines().map(|line| line.trim_start().to_owned() + "\n").collect();
        let expected: String = script.lines().map(|line| line.trim_start().to_owned() + "\n").collect();
        assert!(unindented.contains(&expected), "{example} does not hold its script");
    }
}
