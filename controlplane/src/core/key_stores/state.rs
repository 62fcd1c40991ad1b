//! What may be done with a key store, as a pure function of how it stands here and in AWS (the API's contract, §17).

use crate::store::entry::{AwsKeyStoreEntry, AwsKeyStoreKind, ConnectionState};

/// How a key store stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) struct Standing {
    pub(in crate::core) blocked: bool,
    /// Keys in it.
    pub(in crate::core) keys: usize,
    pub(in crate::core) credentials: usize,
    pub(in crate::core) max_credentials: usize,
    pub(in crate::core) place: Place,
}

/// What it is, and whether AWS reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Place {
    /// Served from here; AWS is not told of it by us.
    Unlinked,
    /// Served from here, with its counterpart in AWS.
    Linked(ConnectionState),
    /// Served from here; AWS has its counterpart no more.
    Vanished,
    /// On an AWS CloudHSM cluster.
    CloudHsm(ConnectionState),
    /// Another proxy serves it.
    Remote(ConnectionState),
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Operation {
    Update,
    Block,
    Unblock,
    /// By creation, rotation or an update.
    AddCredential,
    DeleteCredential,
    CheckHealth,
    Link,
    Connect,
    Disconnect,
    /// Have a job rotate its credential, or no longer.
    SetRotationJob,
    Delete,
}

/// Why it isn't.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::core) enum NotNow {
    #[error("the key store is blocked")]
    Blocked,
    #[error("keys are in the key store ({0}); delete them first")]
    HasKeys(usize),
    #[error("the key store has its {0} credentials; delete one first")]
    Full(usize),
    #[error("this is the key store's last credential; create another first, or block the key store")]
    LastCredential,
    #[error("the key store is linked already")]
    Linked,
    #[error("the key store is not linked; link it first")]
    NotLinked,
    #[error("the key store is {} in AWS; disconnect it first", .0.as_str())]
    NotDisconnected(ConnectionState),
    #[error("the key store is on an AWS CloudHSM cluster; that is for external key stores only")]
    OnCluster,
    #[error(
        "this is a key store of AWS that was found there and is not linked to one here: what serves it is another proxy, or the key store here with its path"
    )]
    Elsewhere,
}

impl Place {
    /// Of a custom key store in AWS.
    pub(in crate::core) const fn of(entry: &AwsKeyStoreEntry) -> Self {
        match entry.kind {
            AwsKeyStoreKind::Linked { .. } if entry.gone => Self::Vanished,
            AwsKeyStoreKind::Linked { .. } => Self::Linked(entry.state),
            AwsKeyStoreKind::CloudHsm { .. } => Self::CloudHsm(entry.state),
            AwsKeyStoreKind::Remote { .. } => Self::Remote(entry.state),
        }
    }
}

/// Whether it may be done.
pub(in crate::core) const fn allowed(operation: Operation, now: Standing) -> Result<(), NotNow> {
    match (operation, now.place) {
        // AWS says itself what it changes while it is connected.
        (Operation::Update, Place::Unlinked | Place::Vanished | Place::Linked(_) | Place::CloudHsm(_)) => Ok(()),
        (Operation::Connect | Operation::Disconnect, Place::Linked(_) | Place::CloudHsm(_) | Place::Remote(_)) => Ok(()),
        (Operation::Connect | Operation::Disconnect, Place::Unlinked | Place::Vanished) | (Operation::SetRotationJob, Place::Unlinked) => {
            Err(NotNow::NotLinked)
        }
        (Operation::SetRotationJob, Place::Linked(_) | Place::Vanished) | (Operation::Link, Place::Unlinked | Place::Vanished) => Ok(()),
        (Operation::Link, Place::Linked(_)) => Err(NotNow::Linked),
        (Operation::Delete, Place::Unlinked | Place::Vanished) => empty(now),
        (Operation::Delete, Place::Linked(state) | Place::CloudHsm(state)) => match (empty(now), state) {
            (Err(why), _) => Err(why),
            (Ok(()), ConnectionState::Disconnected) => Ok(()),
            (
                Ok(()),
                ConnectionState::Connected | ConnectionState::Connecting | ConnectionState::Disconnecting | ConnectionState::Failed,
            ) => Err(NotNow::NotDisconnected(state)),
        },
        (
            Operation::Block | Operation::Unblock | Operation::AddCredential | Operation::DeleteCredential | Operation::CheckHealth,
            Place::Unlinked | Place::Vanished | Place::Linked(_),
        ) => here(operation, now),
        (
            Operation::Block
            | Operation::Unblock
            | Operation::AddCredential
            | Operation::DeleteCredential
            | Operation::CheckHealth
            | Operation::Link
            | Operation::SetRotationJob,
            Place::CloudHsm(_),
        ) => Err(NotNow::OnCluster),
        (
            Operation::Update
            | Operation::Block
            | Operation::Unblock
            | Operation::AddCredential
            | Operation::DeleteCredential
            | Operation::CheckHealth
            | Operation::Link
            | Operation::SetRotationJob
            | Operation::Delete,
            Place::Remote(_),
        ) => Err(NotNow::Elsewhere),
    }
}

/// What AWS is not asked about.
const fn here(operation: Operation, now: Standing) -> Result<(), NotNow> {
    match operation {
        Operation::AddCredential if now.credentials >= now.max_credentials => Err(NotNow::Full(now.max_credentials)),
        Operation::DeleteCredential if now.credentials < 2 => Err(NotNow::LastCredential),
        Operation::CheckHealth if now.blocked => Err(NotNow::Blocked),
        // Blocking and unblocking twice is no error; a blocked key store is kept up like any other.
        Operation::Block
        | Operation::Unblock
        | Operation::AddCredential
        | Operation::DeleteCredential
        | Operation::CheckHealth
        | Operation::Update
        | Operation::Link
        | Operation::Connect
        | Operation::Disconnect
        | Operation::SetRotationJob
        | Operation::Delete => Ok(()),
    }
}

const fn empty(now: Standing) -> Result<(), NotNow> {
    if now.keys > 0 { Err(NotNow::HasKeys(now.keys)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use ConnectionState::{Connected, Connecting, Disconnected, Disconnecting, Failed};
    use NotNow::{Blocked, Elsewhere, Full, HasKeys, LastCredential, NotDisconnected, NotLinked, OnCluster};
    use Operation::{
        AddCredential, Block, CheckHealth, Connect, Delete, DeleteCredential, Disconnect, Link, SetRotationJob, Unblock, Update,
    };

    use super::*;

    const LOCAL: [Operation; 5] = [Block, Unblock, AddCredential, DeleteCredential, CheckHealth];
    const STATES: [ConnectionState; 5] = [Connected, Connecting, Disconnected, Disconnecting, Failed];

    /// Nothing but its place is in the way of anything.
    fn at(place: Place) -> Standing {
        Standing { blocked: false, keys: 0, credentials: 2, max_credentials: 3, place }
    }

    /// In the order Update, Link, Connect, Disconnect, SetRotationJob, Delete.
    fn answers(now: Standing) -> [Result<(), NotNow>; 6] {
        [Update, Link, Connect, Disconnect, SetRotationJob, Delete].map(|operation| allowed(operation, now))
    }

    #[test]
    fn every_pair_of_place_and_operation_has_its_answer() {
        let unlinked = [Ok(()), Ok(()), Err(NotLinked), Err(NotLinked), Err(NotLinked), Ok(())];
        assert_eq!(answers(at(Place::Unlinked)), unlinked);
        let vanished = [Ok(()), Ok(()), Err(NotLinked), Err(NotLinked), Ok(()), Ok(())];
        assert_eq!(answers(at(Place::Vanished)), vanished, "it can be linked anew");
        for state in STATES {
            let delete = if state == Disconnected { Ok(()) } else { Err(NotDisconnected(state)) };
            let linked = [Ok(()), Err(NotNow::Linked), Ok(()), Ok(()), Ok(()), delete];
            assert_eq!(answers(at(Place::Linked(state))), linked, "{state:?}");
            let cluster = [Ok(()), Err(OnCluster), Ok(()), Ok(()), Err(OnCluster), delete];
            assert_eq!(answers(at(Place::CloudHsm(state))), cluster, "{state:?}");
            let remote = [Err(Elsewhere), Err(Elsewhere), Ok(()), Ok(()), Err(Elsewhere), Err(Elsewhere)];
            assert_eq!(answers(at(Place::Remote(state))), remote, "{state:?}");
            for operation in LOCAL {
                assert_eq!(allowed(operation, at(Place::Linked(state))), Ok(()), "{operation:?} {state:?}");
                assert_eq!(allowed(operation, at(Place::CloudHsm(state))), Err(OnCluster), "{operation:?} {state:?}");
                assert_eq!(allowed(operation, at(Place::Remote(state))), Err(Elsewhere), "{operation:?} {state:?}");
            }
        }
    }

    #[test]
    fn what_is_served_from_here_goes_by_its_own_standing_linked_or_not() {
        for place in [Place::Unlinked, Place::Vanished, Place::Linked(Disconnected)] {
            for blocked in [false, true] {
                for keys in [0, 3] {
                    for credentials in [1, 2, 3] {
                        let now = Standing { blocked, keys, credentials, max_credentials: 3, place };
                        let expected = [
                            Ok(()),
                            Ok(()),
                            if credentials == 3 { Err(Full(3)) } else { Ok(()) },
                            if credentials == 1 { Err(LastCredential) } else { Ok(()) },
                            if blocked { Err(Blocked) } else { Ok(()) },
                        ];
                        assert_eq!(LOCAL.map(|operation| allowed(operation, now)), expected, "{now:?}");
                        assert_eq!(allowed(Delete, now), if keys == 3 { Err(HasKeys(3)) } else { Ok(()) }, "{now:?}");
                    }
                }
            }
        }
        for state in STATES {
            let full = |place| Standing { keys: 1, ..at(place) };
            assert_eq!(allowed(Delete, full(Place::Linked(state))), Err(HasKeys(1)));
            assert_eq!(allowed(Delete, full(Place::CloudHsm(state))), Err(HasKeys(1)));
        }
    }
}
