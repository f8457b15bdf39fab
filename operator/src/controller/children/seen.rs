//! The objects of one kind, as a watch shows them.
//!
//! kube's own store keeps the objects themselves, each with its metadata and a key that repeats what kind it is: ten times
//! as much as is needed here.

use super::child::Child;
use kube::{ResourceExt as _, api::DynamicObject, runtime::watcher::Event};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};
use tokio::sync::watch;

/// By namespace and name.
type Objects = HashMap<Box<str>, HashMap<Box<str>, Child>>;

/// What exists of one kind.
#[derive(Default)]
pub struct Seen {
    objects: Mutex<Objects>,
    /// What a list that is not complete yet has brought so far.
    coming: Mutex<Objects>,
    complete: watch::Sender<bool>,
}

impl Seen {
    /// Takes in what a watch tells.
    pub fn take(&self, event: &Event<DynamicObject>) {
        match event {
            Event::Init => locked(&self.coming).clear(),
            Event::InitApply(object) => put(&mut locked(&self.coming), object),
            Event::InitDone => {
                *locked(&self.objects) = std::mem::take(&mut locked(&self.coming));
                self.complete.send_replace(true);
            }
            Event::Apply(object) => put(&mut locked(&self.objects), object),
            Event::Delete(object) => remove(&mut locked(&self.objects), object),
        }
    }

    /// Waits until all that exists was seen once.
    pub async fn complete(&self) {
        // It is never closed, as this has the sender.
        let _ = self.complete.subscribe().wait_for(|complete| *complete).await;
    }

    /// The one of this name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Child> {
        locked(&self.objects).get(namespace)?.get(name).cloned()
    }
}

fn put(objects: &mut Objects, object: &DynamicObject) {
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let (name, child) = (object.name_any().into(), Child::read(object));
    match objects.get_mut(namespace) {
        Some(known) => drop(known.insert(name, child)),
        None => drop(objects.insert(namespace.into(), HashMap::from([(name, child)]))),
    }
}

fn remove(objects: &mut Objects, object: &DynamicObject) {
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let Some(known) = objects.get_mut(namespace) else { return };
    known.remove(object.name_any().as_str());
    if known.is_empty() {
        objects.remove(namespace);
    }
}

fn locked(objects: &Mutex<Objects>) -> std::sync::MutexGuard<'_, Objects> {
    objects.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use serde_json::json;

    fn object(name: &str, uid: &str) -> DynamicObject {
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "n", "uid": uid}})).expect("an object")
    }

    fn uid(seen: &Seen, name: &str) -> Option<String> {
        seen.get("n", name).map(|child| child.uid.into())
    }

    #[test]
    fn nothing_is_complete_before_the_list_is() {
        let seen = Seen::default();
        seen.take(&Event::Init);
        seen.take(&Event::InitApply(object("a", "1")));
        assert!(seen.complete().now_or_never().is_none());
        seen.take(&Event::InitDone);
        assert!(seen.complete().now_or_never().is_some());
        assert_eq!(uid(&seen, "a").as_deref(), Some("1"));
    }

    #[test]
    fn changes_are_followed() {
        let seen = Seen::default();
        seen.take(&Event::Apply(object("a", "1")));
        seen.take(&Event::Apply(object("a", "2")));
        assert_eq!(uid(&seen, "a").as_deref(), Some("2"));
        assert_eq!(seen.get("other", "a"), None);
        seen.take(&Event::Delete(object("a", "2")));
        assert_eq!(uid(&seen, "a"), None);
    }

    #[test]
    fn what_was_deleted_while_the_watch_was_away_is_gone_once_it_has_listed_anew() {
        let seen = Seen::default();
        seen.take(&Event::Apply(object("gone", "1")));
        seen.take(&Event::Init);
        seen.take(&Event::InitApply(object("stays", "2")));
        assert_eq!(uid(&seen, "gone").as_deref(), Some("1"), "until then it may be there");
        seen.take(&Event::InitDone);
        assert_eq!((uid(&seen, "gone"), uid(&seen, "stays").as_deref()), (None, Some("2")));
    }

    #[test]
    fn a_list_that_broke_off_leaves_nothing_behind() {
        let seen = Seen::default();
        seen.take(&Event::Init);
        seen.take(&Event::InitApply(object("a", "1")));
        seen.take(&Event::Init);
        seen.take(&Event::InitDone);
        assert_eq!(uid(&seen, "a"), None);
    }
}
