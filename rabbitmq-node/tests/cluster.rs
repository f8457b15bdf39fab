//! Nodes that form a cluster.

use tempfile::TempDir;
use warren_rabbitmq_node::{Member, Node, PortMapper, Settings};

#[tokio::test]
async fn a_killed_member_is_missed_and_comes_back() {
    let folder = TempDir::new().unwrap();
    let mapper = PortMapper::start(folder.path().join("epmd.log")).await.unwrap();
    let member = |name: &str| {
        let member = Member { name: name.into(), cookie: "SECRET".into(), epmd: mapper.port() };
        Node::start(Settings { member: Some(member), ..Settings::new(folder.path().join(name)) })
    };
    let (first, mut second) = (member("one").await.unwrap(), member("two").await.unwrap());
    second.join(&first).await.unwrap();
    assert_eq!(running(&first).await, ["one@localhost", "two@localhost"]);
    second.kill();
    assert_eq!(running(&first).await, ["one@localhost"]);
    second.start_again().await.unwrap();
    assert_eq!(running(&first).await, ["one@localhost", "two@localhost"]);
}

/// The members that run, as one of them sees it.
async fn running(node: &Node) -> Vec<String> {
    let mut command = node.control();
    command.args(["eval", "--silent", "[io:format(\"~s~n\", [N]) || N <- lists:sort([node() | nodes()])], ok."]);
    let output = tokio::process::Command::from(command).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let names = said.lines().filter(|line| line.ends_with("@localhost") && !line.contains("rabbitmqcli"));
    names.map(str::to_owned).collect()
}
