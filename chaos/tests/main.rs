//! A short campaign of real faults.

use std::process::Command;

#[test]
fn nothing_promised_is_lost_under_a_dozen_faults() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warren-chaos"));
    command.args(["--messages", "1500", "--faults", "12", "--seed", "7"]);
    let output = command.output().expect("warren-chaos starts");
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    assert!(said.contains("no violation"), "{said}");
}
