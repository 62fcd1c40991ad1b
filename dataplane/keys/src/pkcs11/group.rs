//! A group: partitions that hold the same keys.
//!
//! Holds: a key of a group is one value however many ask for it, so that what was learned of it is learned once. Locks here are for
//! building snapshots, for tasks and for what is new about a key; requests take none.

use std::{
    collections::HashMap,
    mem,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crossbeam_channel::Sender;
use holdfast_proto::records::{KeyUsage, PartitionKey};
use uuid::Uuid;

use super::{
    front::{Front, Order},
    handles::KeyName,
    health::MostSessions,
    key::GroupKey,
    proof::Book,
    settings::PartitionSettings,
    status::{Condition, KeyAttributes, NewKey, TokenTask, TokenTaskDone, TokenTaskError},
    traffic::{Again, SecondTries},
    vendor::Vendor,
};

/// Partitions that hold the same keys.
pub struct Group {
    name: Box<str>,
    members: Box<[Member]>,
    book: Book,
    /// Wakes the keeper.
    nudge: Sender<()>,
    turn: AtomicUsize,
    second_tries: SecondTries,
    keys: Mutex<Keys>,
    /// Keys whose health somebody asks for.
    watched: Mutex<Vec<Weak<GroupKey>>>,
    /// Keys that a member was excluded for.
    accused: Mutex<Vec<Weak<GroupKey>>>,
}

/// A partition of a group.
pub(crate) struct Member {
    pub(crate) front: Arc<Front>,
    /// The configured id.
    pub(crate) id: Option<Uuid>,
    sessions: Option<u32>,
    most_sessions: MostSessions,
    task: Duration,
    /// The configured row.
    vendor: Option<&'static Vendor>,
}

#[derive(Default)]
struct Keys {
    by_name: HashMap<KeyName, Weak<GroupKey>>,
    /// Those that nobody holds any more are dropped when there are this many.
    purge_at: usize,
}

impl Group {
    /// Of members in the order of the configuration.
    pub(crate) fn new(name: &str, members: Vec<Member>, state_dir: &Path, nudge: Sender<()>) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            members: members.into(),
            book: Book::open(state_dir, name),
            nudge,
            turn: AtomicUsize::new(0),
            second_tries: SecondTries::register(name),
            keys: Mutex::default(),
            watched: Mutex::default(),
            accused: Mutex::default(),
        })
    }

    /// The configured name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The manufacturer of the first member that was seen; empty before.
    #[must_use]
    pub fn vendor(&self) -> String {
        let seen = self.members.iter().find_map(|member| member.front.facts());
        seen.map(|facts| facts.manufacturer.clone()).unwrap_or_default()
    }

    /// How each member is, in the order of the configuration.
    #[must_use]
    pub fn conditions(&self) -> Vec<Condition> {
        self.members.iter().map(|member| (*member.front.condition()).clone()).collect()
    }

    /// A key of this group: the same one while somebody holds it. Nothing is looked up on a token yet.
    #[must_use]
    pub fn key(self: &Arc<Self>, key: &PartitionKey) -> Arc<GroupKey> {
        self.named(KeyName { cka_id: key.cka_id.clone(), label: key.label.clone() })
    }

    pub(super) fn named(self: &Arc<Self>, name: KeyName) -> Arc<GroupKey> {
        let mut keys = lock(&self.keys);
        if let Some(live) = keys.by_name.get(&name).and_then(Weak::upgrade) {
            return live;
        }
        let made = GroupKey::new(Arc::clone(self), name.clone());
        keys.insert(name, Arc::downgrade(&made));
        made
    }

    /// All secret keys of the first member that answers.
    ///
    /// # Errors
    /// [`TokenTaskError`].
    pub async fn list(&self) -> Result<Vec<KeyAttributes>, TokenTaskError> {
        match self.task(TokenTask::List).await? {
            TokenTaskDone::Keys(keys) => Ok(keys),
            TokenTaskDone::Key(key) => Ok(vec![key]),
        }
    }

    /// One key, on the first member that answers.
    ///
    /// # Errors
    /// [`TokenTaskError`].
    pub async fn inspect(&self, key: &PartitionKey) -> Result<KeyAttributes, TokenTaskError> {
        let name = KeyName { cka_id: key.cka_id.clone(), label: key.label.clone() };
        self.one(TokenTask::Inspect(name)).await
    }

    /// Generates an AES-256 key; one that has this `CKA_ID` already is the result.
    ///
    /// # Errors
    /// [`TokenTaskError`]. In a group of more than one partition always, unless their tokens copy their keys to each other: the others
    /// would not have the key.
    pub async fn generate(&self, cka_id: &[u8], label: &str, usage: KeyUsage) -> Result<KeyAttributes, TokenTaskError> {
        if self.members.len() > 1 && !self.members.iter().all(Member::replicates) {
            return Err(TokenTaskError::Refused(format!(
                "group {} has {} partitions, and a key generated on one is not on the others: generate it on one with `holdfast \
                 partition generate`, copy it to the others with the vendor's tools, then name it by its label and CKA_ID",
                self.name,
                self.members.len()
            )));
        }
        let key = NewKey { cka_id: cka_id.into(), label: label.into(), encrypt: usage.encrypt, decrypt: usage.decrypt };
        self.one(TokenTask::Generate(key)).await
    }

    async fn one(&self, task: TokenTask) -> Result<KeyAttributes, TokenTaskError> {
        match self.task(task).await? {
            TokenTaskDone::Key(key) => Ok(key),
            TokenTaskDone::Keys(_) => Err(self.unavailable("it answered another question")),
        }
    }

    /// Asks the members in the order of the configuration, those that are up first, until one did it or refused.
    async fn task(&self, task: TokenTask) -> Result<TokenTaskDone, TokenTaskError> {
        let mut last = self.unavailable("it has no partitions");
        let (up, rest): (Vec<_>, Vec<_>) = self.members.iter().partition(|member| member.front.is_up());
        for member in up.into_iter().chain(rest) {
            match member.task(task.clone()).await {
                // It may be making the key yet: a second one would make another.
                Err(late @ TokenTaskError::Deadline { .. }) if matches!(task, TokenTask::Generate(_)) => return Err(late),
                Err(error @ (TokenTaskError::Unavailable { .. } | TokenTaskError::Deadline { .. })) => last = error,
                done => return done,
            }
        }
        Err(last)
    }

    fn unavailable(&self, why: &str) -> TokenTaskError {
        TokenTaskError::Unavailable { partition: self.name.to_string(), why: why.into() }
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    pub(super) const fn book(&self) -> &Book {
        &self.book
    }

    /// Where to begin among members that have as little to do.
    pub(super) fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn count(&self, why: Again) {
        self.second_tries.count(why);
    }

    /// There is something for the keeper to do.
    pub(super) fn nudge(&self) {
        // A full channel has a nudge already; without a keeper there is nobody to do it.
        let _ = self.nudge.try_send(());
    }

    /// Somebody asks for this key's health.
    pub(super) fn watch(&self, key: Weak<GroupKey>) {
        lock(&self.watched).push(key);
    }

    /// A member is excluded for this key.
    pub(super) fn accuse(&self, key: Weak<GroupKey>) {
        lock(&self.accused).push(key);
    }

    /// Keys whose health was asked for lately. The others are forgotten.
    pub(super) fn watched(&self) -> Vec<Arc<GroupKey>> {
        live(&self.watched, GroupKey::is_wanted)
    }

    /// Keys that a member is or was excluded for.
    pub(super) fn accused(&self) -> Vec<Arc<GroupKey>> {
        live(&self.accused, |_| true)
    }

    /// The keys that a member may not serve.
    pub(super) fn excluded(&self, at: usize) -> Vec<String> {
        let mut names: Vec<String> = self.accused().iter().filter(|key| key.is_excluded(at)).map(|key| key.name.to_string()).collect();
        names.sort();
        names
    }
}

impl Keys {
    fn insert(&mut self, name: KeyName, key: Weak<GroupKey>) {
        if self.by_name.len() >= self.purge_at {
            self.by_name.retain(|_, key| key.strong_count() > 0);
            self.purge_at = self.by_name.len() * 2 + 64;
        }
        self.by_name.insert(name, key);
    }
}

impl Member {
    pub(crate) fn new(front: Arc<Front>, settings: &PartitionSettings) -> Self {
        let sessions = settings.sessions.map(Into::into);
        let vendor = settings.vendor.as_deref().and_then(Vendor::named);
        Self { front, id: settings.id, sessions, most_sessions: MostSessions::default(), task: settings.timeouts.task, vendor }
    }

    /// A key that is made on another token of its kind comes to this one by itself.
    fn replicates(&self) -> bool {
        let seen = || self.front.facts().map(|facts| Vendor::of(&facts.manufacturer));
        self.vendor.or_else(seen).is_some_and(|vendor| vendor.replicates)
    }

    /// It has fewer sessions than it should.
    pub(super) fn is_short_of_sessions(&self) -> bool {
        self.most_sessions.are_more_than(self.front.sessions().load(Ordering::Relaxed), self.sessions)
    }

    async fn task(&self, task: TokenTask) -> Result<TokenTaskDone, TokenTaskError> {
        let partition = || self.front.name.to_string();
        let (answer, done) = tokio::sync::oneshot::channel();
        self.front.order(Order::Task(task, answer));
        match tokio::time::timeout(self.task, done).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(TokenTaskError::Unavailable { partition: partition(), why: "it was stopped".into() }),
            Err(_) => Err(TokenTaskError::Deadline { partition: partition() }),
        }
    }
}

fn live(keys: &Mutex<Vec<Weak<GroupKey>>>, keep: impl Fn(&GroupKey) -> bool) -> Vec<Arc<GroupKey>> {
    let mut keys = lock(keys);
    let live: Vec<_> = mem::take(&mut *keys).iter().filter_map(Weak::upgrade).filter(|key| keep(key)).collect();
    *keys = live.iter().map(Arc::downgrade).collect();
    live
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(super) mod stage;

#[cfg(test)]
mod tests;
