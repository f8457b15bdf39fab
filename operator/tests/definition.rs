use std::{fs, path::Path};
use warren_operator::command::crd;

#[test]
fn the_committed_definition_is_the_one_that_the_code_generates() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds").join(crd::FILE);
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == crd::text().expect("YAML"),
        "crds/{} is not what the code generates; run `cargo run -p warren-operator -- crd --write crds`",
        crd::FILE
    );
}
