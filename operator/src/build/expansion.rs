//! Kubernetes expands `$(NAME)` in environment values, commands and arguments, and makes `$$` a single `$`. What is
//! meant literally is escaped here; `local`, which has no kubelet, expands here.

/// `text` such that Kubernetes' expansion gives it back unchanged.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('$', "$$")
}

/// `text` as the kubelet would hand it to a container: `$(NAME)` becomes the variable's value, `$$` becomes `$`, and
/// a name that `lookup` does not know stays as it stands.
#[must_use]
pub fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let (mut expanded, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            expanded.push_str(&lookup(name).unwrap_or_else(|| format!("$({name})")));
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str) -> Option<String> {
        (name == "PORT").then(|| "8000".to_owned())
    }

    #[test]
    fn known_names_are_replaced_and_all_else_stays() {
        for (text, expected) in [
            ("--port=$(PORT)", "--port=8000"),
            ("$(OTHER) $PORT ${PORT}", "$(OTHER) $PORT ${PORT}"),
            ("$$(PORT)", "$(PORT)"),
            ("echo $$ $(PORT", "echo $ $(PORT"),
        ] {
            assert_eq!(expand(text, port), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_escaped_survives_expansion(text in r"[$()A-Z \PC]*") {
            proptest::prop_assert_eq!(expand(&escape(&text), |_| Some("replaced".to_owned())), text);
        }
    }
}
