//! The command lines of the node's two programs.

use crate::{NodeError, Ports, directory::Directory, install::Install};
use std::{
    env,
    ffi::OsString,
    process::{Command, Stdio},
};

/// Two schedulers and four threads for files, which spin for a moment before they sleep: a boot hands 60,000 file
/// operations to such a thread and back, and to wake both each time costs more than to read. With
/// [`Install::busy_code`] this makes a boot of 4 s from one of 9 s (two shared cores, RabbitMQ 3.10).
const FOOTPRINT: &str = "+S 2:2 +SDio 4 +sbwt very_short +sbwtdcpu none +sbwtdio very_short";

/// Erlang's port mapper, in the foreground, on a port of its own: it ends with its owner, and the system's is left
/// alone.
pub(crate) fn epmd(install: &Install, port: u16) -> Command {
    let mut command = Command::new(&install.epmd);
    command.env_clear().env("ERL_EPMD_PORT", port.to_string()).env("ERL_EPMD_ADDRESS", "127.0.0.1");
    command.current_dir("/");
    command
}

/// The server. It inherits nothing but `PATH`, so that no `RABBITMQ_…` or `ERL_…` of the user, and no file in
/// `/etc/rabbitmq`, changes it.
pub(crate) fn server(
    install: &Install,
    directory: &Directory,
    name: &str,
    ports: &Ports,
) -> Result<Command, NodeError> {
    let mut command = Command::new(&install.server);
    command.env_clear().envs(places(directory)).envs(addresses(name, ports));
    command.env("PATH", search_path()).env("LANG", "C.UTF-8");
    command.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", arguments(install, name, ports));
    // In the environment, so that it also holds for the VM that RabbitMQ starts each minute to revive a dead port
    // mapper: started while the node ends, that one would leave a daemon behind.
    command.env("ERL_ZFLAGS", "-start_epmd false");
    // Makes the script become the Erlang VM instead of waiting for it: the child's pid is the node's.
    command.env("RUNNING_UNDER_SYSTEMD", "true");
    // To standard output, which is the log.
    command.env("RABBITMQ_LOGS", "-").env("RABBITMQ_UPGRADE_LOG", "-");
    command.current_dir(directory.path()).stdin(directory.lock_for_child()?);
    Ok(command)
}

/// `rabbitmqctl` for the node, from beside its server. Its arguments are the caller's to add.
pub(crate) fn control(install: &Install, directory: &Directory, name: &str, ports: &Ports) -> Command {
    let mut command = Command::new(install.server.with_file_name("rabbitmqctl"));
    command.env_clear().env("HOME", directory.file("home")).env("PATH", search_path()).env("LANG", "C.UTF-8");
    command.env("RABBITMQ_CONF_ENV_FILE", directory.file("none.conf"));
    command.env("ERL_EPMD_PORT", ports.epmd.to_string()).env("ERL_EPMD_ADDRESS", "127.0.0.1");
    command.args(["--node", name]).current_dir(directory.path()).stdin(Stdio::null());
    command
}

/// Everything the node reads or writes, inside its directory; some of these files never exist.
fn places(directory: &Directory) -> Vec<(&'static str, OsString)> {
    let place = |variable, name| (variable, directory.file(name).into_os_string());
    vec![
        place("HOME", "home"),
        place("RABBITMQ_MNESIA_BASE", "data"),
        place("RABBITMQ_LOG_BASE", "log"),
        place("RABBITMQ_PID_FILE", "pid"),
        place("RABBITMQ_ENABLED_PLUGINS_FILE", "enabled_plugins"),
        place("RABBITMQ_GENERATED_CONFIG_DIR", "generated"),
        place("RABBITMQ_CONFIG_FILE", "node.config"),
        place("RABBITMQ_CONFIG_FILES", "none.d/*.conf"),
        place("RABBITMQ_ADVANCED_CONFIG_FILE", "none.config"),
        place("RABBITMQ_CONF_ENV_FILE", "none.conf"),
        place("ERL_CRASH_DUMP", "erl_crash.dump"),
    ]
}

fn addresses(name: &str, ports: &Ports) -> Vec<(&'static str, String)> {
    vec![
        ("RABBITMQ_NODENAME", name.to_owned()),
        ("RABBITMQ_NODE_PORT", ports.amqp.to_string()),
        ("RABBITMQ_DIST_PORT", ports.distribution.to_string()),
        ("ERL_EPMD_PORT", ports.epmd.to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
    ]
}

/// Erlang's distribution starts with the VM (`-sname`): left to RabbitMQ, it first starts a second VM, only to see
/// that the port mapper runs. The script splits this text at spaces, so a directory with a space is left out.
fn arguments(install: &Install, name: &str, ports: &Ports) -> String {
    let port = ports.distribution;
    let mut text = format!(
        "{FOOTPRINT} -sname {name} -kernel inet_dist_use_interface {{127,0,0,1}} \
         -kernel inet_dist_listen_min {port} -kernel inet_dist_listen_max {port}"
    );
    for path in install.busy_code() {
        let path = path.to_string_lossy();
        if !path.contains(char::is_whitespace) {
            text.push_str(&format!(" -pa {path}"));
        }
    }
    text
}

/// Where the script looks for `erl` and the tools it calls.
fn search_path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin");
    path
}
