//! What became of a step that was begun with a custom key store, as a pure function of what AWS is seen to have.
//!
//! Always holds: AWS's state decides. That something is not there is believed only late, when a request that nobody waits for any more
//! can't be under way; that it is there, at once.

use std::time::Duration;

use crate::{
    aws::Aws,
    store::entry::{ConnectionState, KeyStoreStep},
};

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Verdict {
    /// It was done in AWS.
    Done,
    /// It was not, and will not be.
    NotDone,
    /// It may still come.
    Unsure,
}

/// What AWS has, as far as steps ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Whether AWS reaches it.
    pub(super) state: ConnectionState,
    /// It is as it is intended to be.
    pub(super) as_intended: bool,
    /// AWS signs with the step's credential.
    pub(super) signs_with_it: bool,
}

/// What became of `step`, where AWS has `seen`; none: it has no such key store.
pub(super) const fn verdict(step: &KeyStoreStep, seen: Option<Seen>, late: bool) -> Verdict {
    let not_yet = if late { Verdict::NotDone } else { Verdict::Unsure };
    match (step, seen) {
        (KeyStoreStep::Create | KeyStoreStep::Link, Some(_)) | (KeyStoreStep::Delete, None) => Verdict::Done,
        (KeyStoreStep::Create | KeyStoreStep::Link, None) | (KeyStoreStep::Delete, Some(_)) => not_yet,
        (KeyStoreStep::Update, Some(Seen { as_intended: true, .. }))
        | (KeyStoreStep::RotateCredential(_), Some(Seen { signs_with_it: true, .. })) => Verdict::Done,
        (KeyStoreStep::Update | KeyStoreStep::RotateCredential(_), Some(_)) => not_yet,
        // One that failed before could not have been told to connect: AWS would have it disconnected first.
        (KeyStoreStep::Connect, Some(seen)) => match seen.state {
            ConnectionState::Connected | ConnectionState::Connecting | ConnectionState::Failed => Verdict::Done,
            ConnectionState::Disconnected | ConnectionState::Disconnecting => not_yet,
        },
        (KeyStoreStep::Disconnect, Some(seen)) => match seen.state {
            ConnectionState::Disconnected | ConnectionState::Disconnecting => Verdict::Done,
            ConnectionState::Connected | ConnectionState::Connecting | ConnectionState::Failed => not_yet,
        },
        // It is gone, whatever was begun, if all of AWS says so.
        (KeyStoreStep::Update | KeyStoreStep::RotateCredential(_) | KeyStoreStep::Connect | KeyStoreStep::Disconnect, None) => not_yet,
    }
}

/// How long what AWS is not seen to have done may still come, or be done and not told of.
pub(super) const fn patience(step: Option<&KeyStoreStep>, aws: &Aws) -> Duration {
    match step {
        // What was made here for AWS goes then.
        None | Some(KeyStoreStep::Create | KeyStoreStep::Link | KeyStoreStep::Update | KeyStoreStep::RotateCredential(_)) => {
            aws.settled_after()
        }
        // Nothing goes.
        Some(KeyStoreStep::Connect | KeyStoreStep::Disconnect | KeyStoreStep::Delete) => aws.attempt_timeout(),
    }
}

#[cfg(test)]
mod tests {
    use ConnectionState::{Connected, Connecting, Disconnected, Disconnecting, Failed};
    use KeyStoreStep::{Connect, Create, Delete, Disconnect, Link, RotateCredential, Update};
    use uuid::Uuid;

    use super::*;
    use crate::aws::AwsSettings;

    const STATES: [ConnectionState; 5] = [Connected, Connecting, Disconnected, Disconnecting, Failed];

    /// Whether a step is seen to be done; else it may come, until it is late.
    fn done(step: &KeyStoreStep, seen: Option<Seen>) -> bool {
        let early = verdict(step, seen, false);
        let late = verdict(step, seen, true);
        match early {
            Verdict::Done => assert_eq!(late, Verdict::Done, "{step:?} {seen:?}"),
            Verdict::Unsure | Verdict::NotDone => assert_eq!(late, Verdict::NotDone, "{step:?} {seen:?}"),
        }
        early == Verdict::Done
    }

    #[test]
    fn every_step_is_judged_by_what_aws_has_in_every_state() {
        let rotate = RotateCredential(Uuid::nil());
        for state in STATES {
            for as_intended in [false, true] {
                for signs_with_it in [false, true] {
                    let seen = Some(Seen { state, as_intended, signs_with_it });
                    assert!(done(&Create, seen) && done(&Link, seen) && !done(&Delete, seen));
                    assert_eq!((done(&Update, seen), done(&rotate, seen)), (as_intended, signs_with_it));
                    assert_eq!(done(&Connect, seen), matches!(state, Connected | Connecting | Failed), "{state:?}");
                    assert_eq!(done(&Disconnect, seen), matches!(state, Disconnected | Disconnecting), "{state:?}");
                }
            }
        }
        assert!(done(&Delete, None));
        for step in [Create, Link, Update, Connect, Disconnect, rotate] {
            assert!(!done(&step, None), "{step:?}");
        }
    }

    #[test]
    fn what_is_not_told_may_still_come_also_if_it_was_there_before() {
        for step in [Create, Link, Update, Connect, Disconnect, RotateCredential(Uuid::nil())] {
            assert_eq!(verdict(&step, None, false), Verdict::Unsure, "{step:?}");
        }
    }

    #[test]
    fn what_takes_something_back_here_waits_far_longer_than_aws_is_at_a_call() {
        let aws = Aws::new(AwsSettings::new()).unwrap();
        for step in [Create, Link, Update, RotateCredential(Uuid::nil())] {
            assert!(patience(Some(&step), &aws) >= 3 * aws.attempt_timeout(), "{step:?}");
        }
        for step in [Connect, Disconnect, Delete] {
            assert!(patience(Some(&step), &aws) >= aws.attempt_timeout(), "{step:?}");
        }
    }
}
