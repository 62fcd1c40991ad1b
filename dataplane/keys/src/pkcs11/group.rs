//! A group: partitions that hold the same keys.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use holdfast_proto::records::{KeyUsage, PartitionKey};

use super::{
    front::{Front, Order},
    handles::KeyName,
    key::GroupKey,
    status::{Condition, KeyAttributes, NewKey, TokenTask, TokenTaskDone, TokenTaskError},
};

/// Partitions that hold the same keys.
pub struct Group {
    name: Box<str>,
    members: Box<[Member]>,
    keys: Mutex<HashMap<KeyName, Weak<GroupKey>>>,
}

/// A partition of a group.
pub(crate) struct Member {
    pub(crate) front: Arc<Front>,
    /// How long a task may take.
    pub(crate) task: Duration,
}

impl Group {
    pub(crate) fn new(name: &str, members: Vec<Member>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), members: members.into(), keys: Mutex::default() })
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
        let name = KeyName { cka_id: key.cka_id.clone(), label: key.label.clone() };
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = keys.get(&name).and_then(Weak::upgrade) {
            return live;
        }
        let made = Arc::new(GroupKey::new(Arc::clone(self), name.clone()));
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
    /// [`TokenTaskError`]. In a group of more than one partition always: the others would not have the key.
    pub async fn generate(&self, cka_id: &[u8], label: &str, usage: KeyUsage) -> Result<KeyAttributes, TokenTaskError> {
        if self.members.len() > 1 {
            return Err(TokenTaskError::Refused(format!(
                "group {} has {} partitions, and a key generated on one is not on the others: generate it on one with `holdfast \
                 partition generate`, copy it to the others with the vendor's tools, then use it by its label or CKA_ID",
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
        let (up, rest): (Vec<_>, Vec<_>) = self.members.iter().partition(|member| member.front.condition().is_up());
        for member in up.into_iter().chain(rest) {
            match member.task(task.clone()).await {
                Err(error @ (TokenTaskError::Unavailable { .. } | TokenTaskError::Deadline { .. })) => last = error,
                done => return done,
            }
        }
        Err(last)
    }

    fn unavailable(&self, why: &str) -> TokenTaskError {
        TokenTaskError::Unavailable { partition: self.name.to_string(), why: why.into() }
    }
}

impl Member {
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
