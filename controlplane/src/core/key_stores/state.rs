//! What may be done with an unlinked key store, as a pure function of how it stands (the API's contract, §17).

/// How a key store stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) struct Standing {
    pub(in crate::core) blocked: bool,
    /// HYOK keys in it.
    pub(in crate::core) keys: usize,
    pub(in crate::core) credentials: usize,
    pub(in crate::core) max_credentials: usize,
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
}

/// Whether it may be done.
pub(in crate::core) const fn allowed(operation: Operation, now: Standing) -> Result<(), NotNow> {
    match operation {
        // Blocking and unblocking twice is no error; a blocked key store is kept up like any other.
        Operation::Update | Operation::Block | Operation::Unblock => Ok(()),
        Operation::AddCredential if now.credentials >= now.max_credentials => Err(NotNow::Full(now.max_credentials)),
        Operation::DeleteCredential if now.credentials < 2 => Err(NotNow::LastCredential),
        Operation::CheckHealth if now.blocked => Err(NotNow::Blocked),
        Operation::Delete if now.keys > 0 => Err(NotNow::HasKeys(now.keys)),
        Operation::AddCredential | Operation::DeleteCredential | Operation::CheckHealth | Operation::Delete => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use NotNow::{Blocked, Full, HasKeys, LastCredential};
    use Operation::{AddCredential, Block, CheckHealth, Delete, DeleteCredential, Unblock, Update};

    use super::*;

    #[test]
    fn every_pair_of_standing_and_operation_has_its_answer() {
        let operations = [Update, Block, Unblock, AddCredential, DeleteCredential, CheckHealth, Delete];
        for blocked in [false, true] {
            for keys in [0, 3] {
                for credentials in [1, 2, 3] {
                    let now = Standing { blocked, keys, credentials, max_credentials: 3 };
                    let expected = operations.map(|operation| match operation {
                        Update | Block | Unblock => Ok(()),
                        AddCredential => {
                            if credentials == 3 {
                                Err(Full(3))
                            } else {
                                Ok(())
                            }
                        }
                        DeleteCredential => {
                            if credentials == 1 {
                                Err(LastCredential)
                            } else {
                                Ok(())
                            }
                        }
                        CheckHealth => {
                            if blocked {
                                Err(Blocked)
                            } else {
                                Ok(())
                            }
                        }
                        Delete => {
                            if keys == 3 {
                                Err(HasKeys(3))
                            } else {
                                Ok(())
                            }
                        }
                    });
                    assert_eq!(operations.map(|operation| allowed(operation, now)), expected, "{now:?}");
                }
            }
        }
    }
}
