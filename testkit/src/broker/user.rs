//! A user of a test's own, whose rights can be taken away.

use super::{Vhost, management::Management};
use crate::away::away_from_this_runtime;
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// A user who may do everything on one virtual host, until a test changes that. Deleted when dropped.
#[derive(Debug)]
pub struct User {
    name: String,
    vhost: String,
    url: String,
    api: Url,
    management: Management,
}

#[derive(Deserialize)]
struct Connected {
    name: String,
    user: String,
}

impl User {
    pub(super) async fn new(vhost: &Vhost, url: String, api: Url) -> Self {
        let management = Management::new(api.clone());
        let user =
            Self { name: format!("user-{}", Uuid::now_v7()), vhost: vhost.name().to_owned(), url, api, management };
        user.set_password("first").await;
        user.permit(".*", ".*", ".*").await;
        user
    }

    /// The address of the virtual host for this user, with the first password.
    ///
    /// # Panics
    /// Never: the broker's own address is a URL.
    #[must_use]
    pub fn url(&self) -> String {
        let mut url = Url::parse(&self.url).expect("the broker's address is a URL");
        url.set_username(&self.name).and_then(|()| url.set_password(Some("first"))).expect("has a host");
        url.into()
    }

    /// Gives the user this password. Open connections stay.
    pub async fn set_password(&self, password: &str) {
        self.put(&["users", &self.name], &json!({"password": password, "tags": ""})).await;
    }

    /// Lets the user configure, write and read what matches.
    pub async fn permit(&self, configure: &str, write: &str, read: &str) {
        let rights = json!({"configure": configure, "write": write, "read": read});
        self.put(&["permissions", &self.vhost, &self.name], &rights).await;
    }

    /// Takes the virtual host away from the user.
    ///
    /// # Panics
    /// When the broker refuses.
    pub async fn forbid(&self) {
        self.delete(&["permissions", &self.vhost, &self.name]).await;
    }

    /// Closes the user's connections, as an administrator may.
    ///
    /// # Panics
    /// When the broker refuses.
    pub async fn disconnect(&self) {
        let open: Option<Vec<Connected>> = match self.management.get(&["vhosts", &self.vhost, "connections"]).await {
            Ok(open) => open,
            Err(error) => panic!("the connections of {} cannot be read: {error}", self.vhost),
        };
        for connection in open.unwrap_or_default().into_iter().filter(|connection| connection.user == self.name) {
            self.delete(&["connections", &connection.name]).await;
        }
    }

    async fn put(&self, path: &[&str], body: &Value) {
        if let Err(error) = self.management.put(path, body).await {
            panic!("{path:?}: {error}");
        }
    }

    async fn delete(&self, path: &[&str]) {
        if let Err(error) = self.management.delete(path).await {
            panic!("{path:?}: {error}");
        }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let (name, api) = (self.name.clone(), self.api.clone());
        away_from_this_runtime(async move {
            if let Err(error) = Management::new(api).delete(&["users", &name]).await {
                eprintln!("the user {name} stays: {error}");
            }
        });
    }
}
