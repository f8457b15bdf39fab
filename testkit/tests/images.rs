//! Images are made of files, and of nothing else.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

const WRITER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/oci-image");

/// An archive of two files in `directory`, last written at `age` before now; its digest.
fn archive(directory: &Path, age: Duration) -> String {
    for (name, text) in [("program", "#!/bin/sh\n"), ("data", "1")] {
        let path = directory.join(name);
        fs::write(&path, text).expect("is written");
        let then = SystemTime::now() - age;
        File::options().write(true).open(&path).expect("is there").set_modified(then).expect("can be dated");
    }
    let at = |name: &str| directory.join(name).display().to_string();
    let mut command = Command::new("python3");
    command.args([WRITER, "-t", "example.test/app:1", "-e", "/program", "--user", "65532:65532", "--compress"]);
    command.args([
        "-o",
        &at("image.tar"),
        &format!("{}:/program", at("program")),
        &format!("{}:/etc/data", at("data")),
    ]);
    let made = command.output().expect("python3 runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).expect("a digest").trim().to_owned()
}

#[test]
fn the_same_files_give_the_same_image_wherever_and_whenever_it_is_made() {
    let [one, other] = [(), ()].map(|()| tempfile::tempdir().expect("a directory"));
    let digest = archive(one.path(), Duration::ZERO);
    assert!(digest.starts_with("sha256:"), "{digest}");
    assert_eq!(archive(other.path(), Duration::from_secs(86_400)), digest);
    let read = |directory: &Path| fs::read(directory.join("image.tar")).expect("is there");
    assert_eq!(read(one.path()), read(other.path()), "byte for byte");
}
