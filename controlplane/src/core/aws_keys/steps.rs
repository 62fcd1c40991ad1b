//! How something is done to a key that AWS has: the step is committed, AWS is asked, what it tells then is committed.
//!
//! Always holds: the caller has the key's turn; where AWS refused, the entry is as it was but for the reason; where AWS may have done it,
//! the step stays for [`Core::keep_following_aws_keys`].

use aws_sdk_kms::Client;
use uuid::Uuid;

use super::{
    NOT_FOUND,
    describe::{kept, put_told},
    in_aws,
    source::{with_source, without_source},
};
use crate::{
    access::Trail,
    aws::{AwsError, AwsFault},
    clock::now_ns,
    core::{Core, CoreError, at_work::Turn, write::Plan},
    store::{
        View,
        entry::{AwsKeyEntry, Entry, EntryChange, KeyInAws, KeyStep, SourceKeyEntry},
    },
};

impl Core {
    /// Has AWS do something to a key that is told of by DescribeKey and the like, if `check` has nothing against it.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound`; `State`; what `check` says; `Aws`.
    pub(super) async fn change_in_aws<F>(
        &self,
        trail: &Trail,
        id: Uuid,
        (check, act): (impl Fn(&AwsKeyEntry) -> Result<(), CoreError> + Send + Sync, impl FnOnce(Client, KeyInAws) -> F + Send),
    ) -> Result<(), CoreError>
    where
        F: Future<Output = Result<(), AwsError>> + Send,
    {
        let turn = self.keys_at_work.turn(id).await;
        let (kms, told) = {
            let view = self.view().await?;
            let (entry, told) = in_aws(&view, id)?;
            check(&entry)?;
            (self.kms_of(&view, &entry)?, told)
        };
        self.begin(trail, id, &KeyStep::Change).await?;
        let done = act(kms, told).await;
        self.changed(trail, (id, turn), done).await
    }

    /// Commits a step, where none is under way.
    pub(super) async fn begin(&self, trail: &Trail, id: Uuid, step: &KeyStep) -> Result<(), CoreError> {
        self.begin_with(trail, id, (step, None)).await
    }

    /// Commits a step, where none is under way, together with a source key that was made for it.
    pub(super) async fn begin_with(
        &self,
        trail: &Trail,
        id: Uuid,
        (step, made): (&KeyStep, Option<&SourceKeyEntry>),
    ) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let mut entry = view.aws_key(id)?.ok_or(NOT_FOUND)?;
            idle(&entry)?;
            entry.doing = Some(step.clone());
            entry.stamps = entry.stamps.touched(now_ns());
            let made = made.map(|source| with_source(view, source)).transpose()?;
            let changes = made.into_iter().chain([EntryChange::put(Entry::AwsKey(Box::new(entry)))]).collect();
            Ok(Plan { changes, answer: () })
        };
        self.writer.change(trail, plan).await.map(drop)
    }

    /// Ends [`KeyStep::Change`]: looks what became of it.
    pub(super) async fn changed(&self, trail: &Trail, (id, turn): (Uuid, Turn), done: Result<(), AwsError>) -> Result<(), CoreError> {
        let done = match done {
            Ok(()) => self.look_again(trail, id).await,
            Err(error) => Err(error.into()),
        };
        self.ended(trail, (id, turn), done).await
    }

    /// Ends a step that is done, or one that AWS refused; leaves one that AWS may have done.
    pub(super) async fn ended(&self, trail: &Trail, (id, turn): (Uuid, Turn), done: Result<(), CoreError>) -> Result<(), CoreError> {
        match done {
            Ok(()) => {
                turn.done();
                Ok(())
            }
            Err(error) if may_be_done(&error) => Err(error),
            Err(error) => {
                self.give_up(trail, id, &error).await?;
                turn.done();
                Err(error)
            }
        }
    }

    /// Ends a step that is not done, for this reason. A source key that was made for it goes with it.
    pub(super) async fn give_up(&self, trail: &Trail, id: Uuid, why: &CoreError) -> Result<(), CoreError> {
        self.writer.change(trail, |view: &View| given_up(view, id, why)).await.map(drop)
    }

    /// Ends a step that was left, once it is done or can't be any more.
    ///
    /// # Errors
    /// Where it is to be tried again.
    pub(super) async fn taken_up(&self, trail: &Trail, id: Uuid, done: Result<(), CoreError>) -> Result<(), CoreError> {
        match done {
            Err(error) if may_come(&error) => Err(error),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, key = %id, "what was begun with a key in AWS can't be finished");
                self.give_up(trail, id, &error).await
            }
            Ok(()) => Ok(()),
        }
    }

    /// Ends [`KeyStep::Change`] as AWS has it.
    pub(super) async fn look_again(&self, trail: &Trail, id: Uuid) -> Result<(), CoreError> {
        self.look_with_set(trail, id, &undone).await.map(drop)
    }
}

fn given_up(view: &View, id: Uuid, why: &CoreError) -> Result<Plan<()>, CoreError> {
    let before = view.aws_key(id)?.ok_or(NOT_FOUND)?;
    let mut after = AwsKeyEntry { failure: Some(why.to_string()), ..before.clone() };
    let left = after.doing.take();
    let Plan { mut changes, .. } = kept(&before, after.clone());
    match left {
        Some(KeyStep::Import(import)) => changes.extend(without_source(view, &import.from, (id, Some(&after)))?),
        Some(KeyStep::Create | KeyStep::Link | KeyStep::Change | KeyStep::SetPolicy { .. } | KeyStep::Rotate { .. }) | None => {}
    }
    Ok(Plan { changes, answer: () })
}

/// Refuses to begin something while something else is under way.
pub(super) fn idle(entry: &AwsKeyEntry) -> Result<(), CoreError> {
    if entry.doing.is_some() {
        let text = "something else was begun with the key in AWS and is not known to be done yet; try again";
        return Err(CoreError::State(text.into()));
    }
    Ok(())
}

/// What failed is worth another try: it may pass or be done, or someone may give the connection credentials that it lacks.
pub(super) const fn may_come(error: &CoreError) -> bool {
    matches!(error, CoreError::Aws(AwsError { fault: AwsFault::Credentials, .. })) || error.may_pass() || may_be_done(error)
}

/// Nothing is under way any more, and this is what AWS tells.
pub(super) fn undone(entry: &mut AwsKeyEntry, told: Option<&KeyInAws>) {
    put_told(entry, told);
    entry.doing = None;
    entry.failure = None;
}

/// AWS, or the store here, may have done what is told to have failed.
pub(super) const fn may_be_done(error: &CoreError) -> bool {
    match error {
        CoreError::Aws(error) => error.may_be_done(),
        CoreError::Read(_) | CoreError::Commit(_) => true,
        CoreError::NotFound(_)
        | CoreError::Exists { .. }
        | CoreError::Invalid { .. }
        | CoreError::State(_)
        | CoreError::TooMany(_)
        | CoreError::Raced
        | CoreError::NoNode { .. }
        | CoreError::NotEverywhere { .. }
        | CoreError::Unavailable(_)
        | CoreError::Refused(_)
        | CoreError::Deadline
        | CoreError::Seal(_)
        | CoreError::Hash(_)
        | CoreError::Random
        | CoreError::Files(_)
        | CoreError::Unsealed(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_aws_refuses_ends_a_step_that_was_left() {
        let failed =
            |fault| CoreError::Aws(AwsError { call: "KMS PutKeyPolicy", fault, code: None, message: String::new(), request_id: None });
        for fault in [AwsFault::Throttled, AwsFault::Broken, AwsFault::Unreached, AwsFault::Credentials] {
            assert!(may_come(&failed(fault)), "{fault:?}");
        }
        assert!(!may_come(&failed(AwsFault::Refused)));
        assert!(!may_come(&CoreError::State("the key is not in AWS".into())));
    }
}
