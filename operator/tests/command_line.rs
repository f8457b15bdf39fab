use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

fn warren_operator(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_warren-operator"))
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    // A program that refuses its arguments does not read; that is no failure of the test.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    child.wait_with_output().expect("its output")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn rendered_objects_are_yaml_documents_with_the_chosen_images() {
    let output = warren_operator(&["render", "--processor-image", "mine:1", "examples/processing.yaml"], "");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut bytes = &output.stdout[..];
    let objects: Vec<serde_json::Value> = serde_yaml::read(&mut bytes).collect::<Result<_, _>>().expect("YAML");
    let kinds: Vec<_> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
    let expected = [
        "ServiceAccount",
        "ServiceAccount",
        "NetworkPolicy",
        "NetworkPolicy",
        "PersistentVolumeClaim",
        "Service",
        "Deployment",
        "Deployment",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(objects[7].pointer("/spec/template/spec/containers/0/image"), Some(&"mine:1".into()));
}

#[test]
fn standard_input_is_a_file_too() {
    let example = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/processing.yaml"));
    let output = warren_operator(&["render", "-"], &example.expect("the example"));
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_refusal_is_printed_once_and_ends_with_1() {
    let output = warren_operator(&["render", "no/such.yaml"], "");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    assert_eq!(
        text(&output.stderr),
        "error: no/such.yaml: no such file; check the path, which is taken from the current directory\n"
    );
}

#[test]
fn wrong_usage_ends_with_2() {
    assert_eq!(warren_operator(&["render"], "").status.code(), Some(2));
}

#[test]
fn the_definition_is_written_where_it_is_wanted() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().display().to_string();
    assert!(warren_operator(&["crd", "--write", &path], "").status.success());
    let written = std::fs::read(directory.path().join(warren_operator::command::crd::FILE)).expect("the definition");
    assert_eq!(written, warren_operator(&["crd"], "").stdout);
}
