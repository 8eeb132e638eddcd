//! The functions that there are, folded from their events as their decider folds them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use factfold_consumers::{
    changes::Fold,
    functions::{FunctionsDecider, function},
};
use factfold_schemas::{
    cloudevents::Incoming,
    functions::{Function, FunctionName},
};
use jiff::Timestamp;
use tokio::sync::watch;

/// The functions that there are, as far as their events were read.
#[derive(Default)]
pub struct Catalogue {
    known: RwLock<Known>,
    /// The decider's own fold of each function's events.
    folds: Mutex<HashMap<FunctionName, Fold<FunctionsDecider>>>,
    /// Counts what was read.
    news: watch::Sender<u64>,
    /// Whether all was read that was there at the start.
    complete: watch::Sender<bool>,
}

#[derive(Default)]
struct Known {
    functions: HashMap<FunctionName, Arc<Function>>,
    /// Who claims which path. Of several the first that was made answers, so all processes agree, whatever order they read in.
    claims: HashMap<String, BTreeSet<(Timestamp, FunctionName)>>,
}

impl std::fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalogue").finish_non_exhaustive()
    }
}

impl Catalogue {
    /// The function of this name; also one that was removed.
    pub fn get(&self, name: FunctionName) -> Option<Arc<Function>> {
        self.read(|known| known.functions.get(&name).cloned())
    }

    /// The function that answers this path.
    pub fn at_path(&self, path: &str) -> Option<FunctionName> {
        self.read(|known| known.claims.get(path)?.first().map(|(_, name)| *name))
    }

    /// Every function that is bound to a topic.
    pub fn bound(&self) -> Vec<Arc<Function>> {
        let is_bound = |function: &&Arc<Function>| function.binding.is_some();
        self.read(|known| known.functions.values().filter(is_bound).cloned().collect())
    }

    /// Ready once all was read that was there at the start: before, what is over may still look as if it went on.
    pub async fn complete(&self) {
        // It is ours: as long as somebody waits, it is there.
        let _ = self.complete.subscribe().wait_for(|complete| *complete).await;
    }

    pub(crate) fn set_complete(&self) {
        self.complete.send_replace(true);
    }

    /// Changes whenever something was read.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Waits until the function is at this version, or later; at most for so long. Whether it is.
    pub async fn come_to(&self, name: FunctionName, version: u64, time: Duration) -> bool {
        let mut news = self.news.subscribe();
        let is_there = || self.get(name).is_some_and(|function| function.version >= version);
        let come = async {
            while !is_there() {
                // It is ours: as long as somebody waits, it is there.
                let _ = news.changed().await;
            }
        };
        tokio::time::timeout(time, come).await.is_ok()
    }

    /// Folds the next event.
    pub(crate) fn fold(&self, record: &Incoming<'_>) {
        let key = record.key.and_then(|key| str::from_utf8(key).ok()).unwrap_or_default();
        let Some(name) = FunctionName::of_stream(key) else {
            tracing::error!(kafka.offset = record.offset, "an event of the functions has no function's key");
            return;
        };
        let mut folds = self.folds.lock().unwrap_or_else(PoisonError::into_inner);
        let fold = folds.entry(name).or_default();
        match fold.after(record) {
            Some(Some(entry)) => {
                self.known.write().unwrap_or_else(PoisonError::into_inner).put(function(name, entry));
            }
            _ => {
                tracing::error!(function.name = %name, kafka.offset = record.offset, "its event cannot be read")
            }
        }
        drop(folds);
        self.news.send_modify(|count| *count += 1);
    }

    fn read<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    fn put(&mut self, function: Function) {
        let claim = |function: &Function| function.current()?.path.clone();
        let (name, since) = (function.name, (function.created_at, function.name));
        let now = claim(&function);
        let before = self.functions.insert(name, Arc::new(function)).and_then(|function| claim(&function));
        if before == now {
            return;
        }
        if let Some(path) = before
            && let Some(claims) = self.claims.get_mut(&path)
        {
            claims.remove(&since);
            if claims.is_empty() {
                self.claims.remove(&path);
            }
        }
        if let Some(path) = now {
            self.claims.entry(path).or_default().insert(since);
        }
    }
}

#[cfg(test)]
mod tests {
    use factfold_schemas::functions::{Code, Configuration, FunctionDeployed, Language, Limits};

    use super::*;

    fn function(name: &str, created: i64, path: Option<&str>) -> Function {
        let created_at = Timestamp::from_second(created).expect("a time");
        let deployed = FunctionDeployed {
            revision: 1,
            language: Language::JavaScript,
            code: Code::of(b"x"),
            path: path.map(str::to_owned),
            public: false,
            limits: Limits::default(),
            input_schema: None,
            output_schema: None,
        };
        Function {
            name: name.parse().expect("a name"),
            version: 1,
            created_at,
            updated_at: created_at,
            revision: Some(1),
            revisions: vec![deployed],
            binding: None,
            schedule: None,
            configuration: Configuration::default(),
        }
    }

    #[test]
    fn the_first_that_was_made_answers_a_path_whoever_is_read_first() {
        let catalogue = Catalogue::default();
        let put = |function| catalogue.known.write().expect("nobody panics").put(function);
        let at = |path: &str| catalogue.at_path(path).map(|name| name.to_string());
        put(function("late", 2, Some("/add")));
        assert_eq!(at("/add").as_deref(), Some("late"));
        put(function("early", 1, Some("/add")));
        assert_eq!(at("/add").as_deref(), Some("early"));
        put(function("early", 1, Some("/sum")));
        assert_eq!((at("/add").as_deref(), at("/sum").as_deref()), (Some("late"), Some("early")));
        put(function("late", 2, None));
        assert_eq!(at("/add"), None);
        put(Function { revision: None, ..function("early", 1, Some("/sum")) });
        assert_eq!(at("/sum"), None, "what was removed claims nothing");
    }
}
