//! Which children each ModelDeployment has, by name alone: so a pass asks for each by its name, which costs the API server the same however
//! many others there are. To find them by their label it goes through all of the namespace (docs/adr/0038-names-from-the-watches.md).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::runtime::watcher::{self, Event};
use kube::{Resource, ResourceExt as _};

use crate::cluster::{MANAGED_BY, NAME_LABEL};
use crate::target::Target;

/// Of a kind, asked for one by one. More of them are cheaper to list.
const MOST: usize = 16;

/// Shared by the watches, which fill it, and the passes.
#[derive(Debug, Default)]
pub struct Index(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    kinds: Vec<Kind>,
    owned: HashMap<Target, Vec<Entry>>,
}

#[derive(Debug)]
struct Kind {
    name: String,
    /// How often the watch has begun with a list of all.
    round: u32,
    /// Whether the last of these lists has come to its end.
    is_whole: bool,
    /// Whether the watch said something that was no error the last time.
    is_well: bool,
}

#[derive(Debug)]
struct Entry {
    kind: u8,
    /// In which it was last seen.
    round: u32,
    name: Box<str>,
}

/// A kind that is watched.
#[derive(Clone, Copy, Debug)]
pub struct KindId(u8);

impl Index {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kind will be watched, with all events shown to [`Self::see`].
    pub fn add(&self, kind: &str) -> KindId {
        let kinds = &mut self.state().kinds;
        kinds.push(Kind { name: kind.to_owned(), round: 0, is_whole: false, is_well: true });
        KindId((kinds.len() - 1) as u8)
    }

    pub fn see<K: Resource>(&self, kind: KindId, event: &Result<Event<K>, watcher::Error>) {
        let state = &mut *self.state();
        let Some(watched) = state.kinds.get_mut(usize::from(kind.0)) else { return };
        watched.is_well = event.is_ok();
        let Ok(event) = event else { return };
        match event {
            Event::Init => {
                watched.round += 1;
                watched.is_whole = false;
            }
            Event::InitApply(object) | Event::Apply(object) => {
                let round = watched.round;
                if let Some(target) = owner(object) {
                    note(state.owned.entry(target).or_default(), kind, round, &object.name_any());
                }
            }
            Event::InitDone => {
                watched.is_whole = true;
                let round = watched.round;
                state.forget(|_, e| e.kind == kind.0 && e.round < round);
            }
            Event::Delete(object) => {
                let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
                let is_it = |e: &Entry| e.kind == kind.0 && *e.name == *name;
                match owner(object) {
                    Some(target) => {
                        if let Some(entries) = state.owned.get_mut(&target) {
                            entries.retain(|e| !is_it(e));
                            if entries.is_empty() {
                                state.owned.remove(&target);
                            }
                        }
                    }
                    // Without its label: it belonged to somebody of this namespace.
                    None => state.forget(|target, e| target.namespace == namespace && is_it(e)),
                }
            }
        }
    }

    /// We have written it: the watch will say so later.
    pub fn wrote(&self, kind: &str, target: Target, name: &str) {
        let state = &mut *self.state();
        if let Some(id) = state.kinds.iter().position(|k| k.name == kind) {
            note(state.owned.entry(target).or_default(), KindId(id as u8), state.kinds[id].round, name);
        }
    }

    /// The names of a target's children of a kind. `None` where the watch does not know all, or where they are too many to be asked for one by
    /// one.
    pub fn names(&self, kind: &str, target: &Target) -> Option<Vec<String>> {
        let state = self.state();
        let id = state.kinds.iter().position(|k| k.name == kind && k.is_whole && k.is_well)?;
        let entries = state.owned.get(target).map(Vec::as_slice).unwrap_or_default();
        let names: Vec<_> = entries.iter().filter(|e| usize::from(e.kind) == id).map(|e| e.name.to_string()).collect();
        (names.len() <= MOST).then_some(names)
    }
}

impl State {
    fn forget(&mut self, which: impl Fn(&Target, &Entry) -> bool) {
        self.owned.retain(|target, entries| {
            entries.retain(|e| !which(target, e));
            !entries.is_empty()
        });
    }
}

fn note(entries: &mut Vec<Entry>, kind: KindId, round: u32, name: &str) {
    match entries.iter_mut().find(|e| e.kind == kind.0 && *e.name == *name) {
        Some(entry) => entry.round = round,
        None => entries.push(Entry { kind: kind.0, round, name: name.into() }),
    }
}

/// Whether the watches would have it as a child of `target`.
pub fn is_of(object: &impl Resource, target: &Target) -> bool {
    let (key, value) = MANAGED_BY.split_once('=').unwrap_or_default();
    object.labels().get(key).is_some_and(|v| v == value) && owner(object).as_ref() == Some(target)
}

/// The ModelDeployment whose label it has.
pub fn owner(object: &impl Resource) -> Option<Target> {
    let name = object.labels().get(NAME_LABEL)?;
    Some(Target::new(object.namespace()?, name))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;

    fn pod(name: &str, md: Option<&str>) -> Pod {
        let labels = md.map(|md| json!({NAME_LABEL: md}));
        let pod =
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "n", "labels": labels}});
        serde_json::from_value(pod).unwrap()
    }

    fn watched(events: Vec<Event<Pod>>) -> Index {
        let index = Index::default();
        let pods = index.add("Pod");
        for event in events {
            index.see(pods, &Ok(event));
        }
        index
    }

    #[track_caller]
    fn assert_names(index: &Index, expected: Option<&[&str]>) {
        let names = index.names("Pod", &Target::new("n", "a"));
        assert_eq!(
            names.as_deref(),
            expected.map(|e| e.iter().map(ToString::to_string).collect::<Vec<_>>()).as_deref()
        );
    }

    #[test]
    fn nothing_is_known_before_the_first_list_has_ended() {
        assert_names(&Index::default(), None);
        assert_names(&watched(vec![]), None);
        assert_names(&watched(vec![Event::Init, Event::InitApply(pod("1", Some("a")))]), None);
        assert_names(&watched(vec![Event::Init, Event::InitDone]), Some(&[]));
        assert_names(&watched(vec![Event::Init, Event::InitApply(pod("1", Some("a"))), Event::InitDone]), Some(&["1"]));
    }

    #[test]
    fn what_comes_and_goes() {
        use Event::{Apply, Delete, Init, InitApply, InitDone};
        let index = watched(vec![
            Init,
            InitDone,
            Apply(pod("1", Some("a"))),
            Apply(pod("2", Some("b"))),
            Apply(pod("1", Some("a"))),
        ]);
        assert_names(&index, Some(&["1"]));
        index.see(KindId(0), &Ok(Delete(pod("1", Some("a")))));
        assert_names(&index, Some(&[]));
        // Without its label it has left the watch.
        index.see(KindId(0), &Ok(Apply(pod("3", Some("a")))));
        index.see(KindId(0), &Ok(Delete(pod("3", None))));
        assert_names(&index, Some(&[]));
        assert_eq!(index.names("Pod", &Target::new("n", "b")), Some(vec!["2".to_owned()]));
        // The watch was broken, and what went meanwhile is not in the new list.
        index.see(KindId(0), &Ok(Apply(pod("4", Some("a")))));
        for event in [Init, InitApply(pod("5", Some("a")))] {
            index.see(KindId(0), &Ok(event));
        }
        assert_names(&index, None);
        // Written while the list was on its way, after it was made.
        index.wrote("Pod", Target::new("n", "a"), "6");
        index.see::<Pod>(KindId(0), &Ok(InitDone));
        assert_names(&index, Some(&["5", "6"]));
    }

    #[test]
    fn a_watch_that_fails_is_not_believed() {
        let index = watched(vec![Event::Init, Event::InitApply(pod("1", Some("a"))), Event::InitDone]);
        index.see::<Pod>(KindId(0), &Err(watcher::Error::NoResourceVersion));
        assert_names(&index, None);
        index.see(KindId(0), &Ok(Event::Apply(pod("2", Some("a")))));
        assert_names(&index, Some(&["1", "2"]));
    }

    #[test]
    fn many_are_listed() {
        let index = watched(vec![Event::Init, Event::InitDone]);
        for n in 0..=MOST {
            index.wrote("Pod", Target::new("n", "a"), &n.to_string());
            assert_eq!(index.names("Pod", &Target::new("n", "a")).is_some(), n < MOST, "{n}");
        }
    }
}
