//! Virtual hosts that killed test runs left on a broker that outlives them.

use super::management::Management;
use reqwest::Url;
use serde::Deserialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use uuid::Uuid;

const PREFIX: &str = "warren-test-";

/// No test takes this long.
const OLD: Duration = Duration::from_secs(3600);

/// The name of a virtual host: the label for people, the id (which holds the time) for the sweep.
pub(super) fn name(label: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let label: String = label.chars().map(plain).take(60).collect();
    format!("{PREFIX}{label}-{}", Uuid::now_v7())
}

/// Deletes those that are older than an hour.
pub(super) async fn sweep(api: &Url) {
    #[derive(Deserialize)]
    struct Listed {
        name: String,
    }
    let management = Management::new(api.clone());
    let listed: Vec<Listed> = match management.get(&["vhosts"]).await {
        Ok(listed) => listed.unwrap_or_default(),
        Err(error) => panic!("the broker of the tests cannot be asked for its virtual hosts: {error}"),
    };
    for Listed { name } in listed.iter().filter(|vhost| is_old(&vhost.name, SystemTime::now())) {
        if let Err(error) = management.delete_vhost(name).await {
            eprintln!("the left-over virtual host {name} stays: {error}");
        }
    }
}

fn is_old(name: &str, now: SystemTime) -> bool {
    made_at(name).is_some_and(|made| now.duration_since(made).is_ok_and(|age| age > OLD))
}

fn made_at(name: &str) -> Option<SystemTime> {
    let (start, id) = name.strip_prefix(PREFIX)?.split_at_checked(name.len().checked_sub(PREFIX.len() + 36)?)?;
    let (seconds, nanos) = id.parse::<Uuid>().ok().filter(|_| start.ends_with('-'))?.get_timestamp()?.to_unix();
    Some(UNIX_EPOCH + Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_virtual_hosts_of_tests_grow_old() {
        let in_two_hours = SystemTime::now() + 2 * OLD;
        let name = name("A result, that overtakes!");
        assert!(name.starts_with("warren-test-a-result--that-overtakes--"), "{name}");
        assert!(is_old(&name, in_two_hours));
        assert!(!is_old(&name, SystemTime::now()));
        for other in ["/", "warren-test-", "production", &name["warren-test-".len()..]] {
            assert!(!is_old(other, in_two_hours), "{other}");
        }
    }
}
