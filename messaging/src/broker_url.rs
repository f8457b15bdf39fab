//! The broker's address as users write it, made unambiguous before the AMQP client sees it.

use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use std::{fmt, str::FromStr};
use url::{Host, Url};

/// A parsed `amqp://` or `amqps://` address. Neither its `Debug` nor its `Display` form shows the password.
///
/// `amqp://host`, `amqp://host/` and `amqp://host/%2f` all mean the virtual host `/`, as amqplib and pika
/// have it; lapin's own reading of the second is the empty virtual host, which no broker has.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl(AMQPUri);

/// Why a text is no broker address. No variant holds the text: it may contain a password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerUrlError {
    /// Not a URL at all.
    #[error("the broker address is not a URL of the form amqp://user:password@host:5672/vhost ({0})")]
    NotAUrl(url::ParseError),
    /// Another scheme than `amqp` or `amqps`.
    #[error("the broker address starts with `{0}://`: RabbitMQ takes amqp:// or amqps://")]
    Scheme(String),
    /// No host between the slashes.
    #[error("the broker address names no host: write amqp://user:password@host:5672/vhost")]
    NoHost,
    /// A `#` or `?` that probably belongs to the password.
    #[error("the broker address has a raw `{0}`: inside a user, password or vhost write it as {1}")]
    RawDelimiter(char, &'static str),
    /// A percent sign that is not followed by two hexadecimal digits, or bytes that are not UTF-8.
    #[error("the {0} in the broker address has a `%` that is no escape of UTF-8: write a percent sign itself as %25")]
    Escape(&'static str),
    /// A virtual host with an unescaped slash.
    #[error("the vhost in the broker address has a raw `/`: write it as %2f")]
    SlashInVhost,
    /// A query parameter that lapin does not know or cannot read.
    #[error(
        "the broker address has the query parameter `{0}`: Warren reads heartbeat (seconds) and connection_timeout (milliseconds)"
    )]
    Query(String),
}

impl BrokerUrl {
    /// The address in the form that lapin connects to.
    #[must_use]
    pub fn to_uri(&self) -> AMQPUri {
        self.0.clone()
    }

    /// Whether TLS is spoken there.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.0.scheme == AMQPScheme::AMQPS
    }

    /// `host:port`, for messages.
    #[must_use]
    pub fn host_and_port(&self) -> String {
        let authority = &self.0.authority;
        if authority.host.contains(':') {
            return format!("[{}]:{}", authority.host, authority.port);
        }
        format!("{}:{}", authority.host, authority.port)
    }

    /// The host's name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.authority.host
    }

    /// The port; the scheme's own where the address says none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.authority.port
    }

    /// The user name, for messages.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.0.authority.userinfo.username
    }

    /// The virtual host, for messages.
    #[must_use]
    pub fn vhost(&self) -> &str {
        &self.0.vhost
    }
}

impl FromStr for BrokerUrl {
    type Err = BrokerUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text.trim()).map_err(|error| not_a_url(text, error))?;
        let scheme = match url.scheme() {
            "amqp" => AMQPScheme::AMQP,
            "amqps" => AMQPScheme::AMQPS,
            other => return Err(BrokerUrlError::Scheme(other.to_owned())),
        };
        if url.fragment().is_some() {
            return Err(BrokerUrlError::RawDelimiter('#', "%23"));
        }
        refuse_cut_password(&url)?;
        let default_port = if scheme == AMQPScheme::AMQP { 5672 } else { 5671 };
        Ok(Self(AMQPUri {
            authority: AMQPAuthority {
                userinfo: userinfo(&url)?,
                host: host(&url)?,
                port: url.port().unwrap_or(default_port),
            },
            vhost: vhost(&url)?,
            query: query(&url)?,
            scheme,
        }))
    }
}

/// A raw `#`, `?` or `/` in the password ends the authority early, so that the URL parser complains of a port.
fn not_a_url(text: &str, error: url::ParseError) -> BrokerUrlError {
    let after_scheme = text.split_once("://").map_or("", |(_, rest)| rest);
    let Some((userinfo, _)) = after_scheme.rsplit_once('@') else {
        return BrokerUrlError::NotAUrl(error);
    };
    for (delimiter, escape) in [('#', "%23"), ('?', "%3f"), ('/', "%2f")] {
        if userinfo.contains(delimiter) {
            return BrokerUrlError::RawDelimiter(delimiter, escape);
        }
    }
    BrokerUrlError::NotAUrl(error)
}

/// A raw `?` or `/` in a password ends the authority early where that leaves a host and a port; parts of the password
/// would stand in messages, as a host, a vhost or a parameter.
fn refuse_cut_password(url: &Url) -> Result<(), BrokerUrlError> {
    if url.path().contains('@') {
        let has_user = !url.username().is_empty() || url.password().is_some();
        let (delimiter, escape) = if has_user { ('@', "%40") } else { ('/', "%2f") };
        return Err(BrokerUrlError::RawDelimiter(delimiter, escape));
    }
    if url.query().is_some_and(|query| query.contains('@')) {
        return Err(BrokerUrlError::RawDelimiter('?', "%3f"));
    }
    Ok(())
}

/// Without a user the broker's own default, guest, is meant.
fn userinfo(url: &Url) -> Result<AMQPUserInfo, BrokerUrlError> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(AMQPUserInfo { username: "guest".into(), password: "guest".into() });
    }
    Ok(AMQPUserInfo {
        username: unescape(url.username(), "user")?,
        password: unescape(url.password().unwrap_or_default(), "password")?,
    })
}

/// An IPv6 address loses its brackets: lapin hands the host to the resolver as it stands.
fn host(url: &Url) -> Result<String, BrokerUrlError> {
    match url.host() {
        Some(Host::Ipv6(address)) => Ok(address.to_string()),
        Some(Host::Ipv4(address)) => Ok(address.to_string()),
        // `amqp` is no scheme that the URL standard knows, so an IPv4 address arrives as a domain too.
        Some(Host::Domain(name)) if !name.is_empty() => unescape(name, "host"),
        _ => Err(BrokerUrlError::NoHost),
    }
}

fn vhost(url: &Url) -> Result<String, BrokerUrlError> {
    let path = url.path().strip_prefix('/').unwrap_or(url.path());
    match path {
        // `//` is what lapin and amqplib read as `/`.
        "" | "/" => Ok("/".into()),
        path if path.contains('/') => Err(BrokerUrlError::SlashInVhost),
        path => unescape(path, "vhost"),
    }
}

fn query(url: &Url) -> Result<AMQPQueryString, BrokerUrlError> {
    let mut query = AMQPQueryString::default();
    for (key, value) in url.query_pairs() {
        let unreadable = || BrokerUrlError::Query(key.to_string());
        match &*key {
            "heartbeat" => query.heartbeat = Some(value.parse().map_err(|_| unreadable())?),
            "connection_timeout" => query.connection_timeout = Some(value.parse().map_err(|_| unreadable())?),
            _ => return Err(unreadable()),
        }
    }
    // A half-open connection is noticed here after 2 to 2.5 of it, and its requests are given to others by the broker after
    // up to 3: with 10 s that took 30 s, and with the broker's own default of 60 s it would take three minutes.
    query.heartbeat.get_or_insert(8);
    query.connection_timeout.get_or_insert(10_000);
    Ok(query)
}

fn unescape(text: &str, part: &'static str) -> Result<String, BrokerUrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first != b'%' {
            bytes.push(*first);
            rest = tail;
            continue;
        }
        let byte = tail
            .get(..2)
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .ok_or(BrokerUrlError::Escape(part))?;
        bytes.push(byte);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| BrokerUrlError::Escape(part))
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = &self.0.scheme;
        write!(f, "{scheme}://{}:***@{} (vhost `{}`)", self.user(), self.host_and_port(), self.vhost())
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrokerUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> AMQPUri {
        text.parse::<BrokerUrl>().unwrap_or_else(|error| panic!("{text}: {error}")).to_uri()
    }

    #[test]
    fn every_spelling_of_the_default_vhost_means_slash() {
        for text in ["amqp://h", "amqp://h/", "amqp://h//", "amqp://h/%2f", "amqp://h/%2F", "amqp://h:5672?heartbeat=5"]
        {
            assert_eq!(parsed(text).vhost, "/", "{text}");
        }
        assert_eq!(parsed("amqp://h/team%2fa").vhost, "team/a");
    }

    #[test]
    fn ipv6_and_ipv4_hosts_stay_what_they_are() {
        assert_eq!(parsed("amqp://[::1]:5673/").authority.host, "::1");
        assert_eq!(parsed("amqp://10.0.0.7/").authority.host, "10.0.0.7");
        assert_eq!("amqp://[::1]/".parse::<BrokerUrl>().expect("is valid").host_and_port(), "[::1]:5672");
    }

    #[test]
    fn escapes_in_user_and_password_are_undone() {
        let uri = parsed("amqps://we%40b:p%23%2fw@h/v");
        assert_eq!(uri.authority.userinfo.username, "we@b");
        assert_eq!(uri.authority.userinfo.password, "p#/w");
        assert_eq!(uri.authority.port, 5671);
    }

    #[test]
    fn each_mistake_is_named_with_its_repair() {
        for (text, word) in [
            ("localhost:5672", "amqp://"),
            ("http://h/", "`http://`"),
            ("amqp:///v", "no host"),
            ("amqp://u:p#w@h/", "%23"),
            ("amqp://u:p/w@h/", "%2f"),
            ("amqp://u:1/w@h/", "%2f"),
            ("amqp://u:1/w@h", "%2f"),
            ("amqp://u:@w/@h", "%40"),
            ("amqp://u:1?w@h/", "%3f"),
            ("amqp://u:p%zz@h/", "%25"),
            ("amqp://h/a/b", "%2f"),
            ("amqp://h/?heartbeet=1", "`heartbeet`"),
        ] {
            let refusal = text.parse::<BrokerUrl>().expect_err(text).to_string();
            assert!(refusal.contains(word), "{text}: {refusal}");
        }
    }

    #[test]
    fn neither_form_of_text_shows_the_password() {
        let url: BrokerUrl = "amqp://user:s3cret@h/".parse().expect("is valid");
        assert!(!format!("{url} {url:?}").contains("s3cret"));
        let refusal = "amqp://user:s3cret#@h/".parse::<BrokerUrl>().expect_err("has a raw #");
        assert!(!format!("{refusal} {refusal:?}").contains("s3cret"));
    }
}
