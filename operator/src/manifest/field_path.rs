//! Paths as Kubernetes writes them: `spec.processor.handler.exec.command[0]`.

/// The path of `field` in the object at `parent`.
pub(super) fn child(parent: &str, field: &str) -> String {
    if parent.is_empty() { field.to_owned() } else { format!("{parent}.{field}") }
}

/// The path of an item in the list at `parent`.
pub(super) fn item(parent: &str, index: usize) -> String {
    format!("{parent}[{index}]")
}

/// A JSON pointer as a path.
pub(super) fn from_pointer(pointer: &str) -> String {
    let mut path = String::new();
    for step in pointer.split('/').skip(1) {
        path = match step.parse::<usize>() {
            Ok(index) => item(&path, index),
            Err(_) => child(&path, &step.replace("~1", "/").replace("~0", "~")),
        };
    }
    path
}

/// What leads from `ancestor` to `path`, if it lies there: empty for the ancestor itself and for items of a list.
pub(super) fn below<'a>(path: &'a str, ancestor: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(ancestor)?;
    match rest.strip_prefix('.') {
        Some(rest) => Some(rest),
        None if rest.is_empty() || rest.starts_with('[') => Some(""),
        None => ancestor.is_empty().then_some(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_become_paths() {
        assert_eq!(from_pointer("/spec/command/0/name"), "spec.command[0].name");
        assert_eq!(from_pointer("/metadata/labels/a~1b"), "metadata.labels.a/b");
        assert_eq!(from_pointer(""), "");
    }

    #[test]
    fn a_path_lies_below_its_ancestors_only() {
        assert_eq!(below("spec.web.store.sqlite", "spec.web"), Some("store.sqlite"));
        assert_eq!(below("spec.env[0].name", "spec.env"), Some(""));
        assert_eq!(below("spec.web", ""), Some("spec.web"));
        assert_eq!(below("spec.website", "spec.web"), None);
        assert_eq!(below("spec", "spec.web"), None);
    }
}
