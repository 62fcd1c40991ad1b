//! The four operations, as functions of a parsed body and what it may use.
//! Hold: no I/O of their own; each takes the proof that it may use a key, and answers a body or a refusal. Under a local key none of
//! them waits for anything; under a token's key each waits until the request's deadline at most.

pub(crate) mod decrypt;
pub(crate) mod encrypt;
pub(crate) mod health;
pub(crate) mod metadata;

use holdfast_keys::KeyFault;
use holdfast_wire::refusal::Refusal;

use crate::live::{Source, Unusable};

/// The key of a version or of health, where this node can use it.
fn usable(key: &Result<Source, Unusable>) -> Result<&Source, Refusal> {
    key.as_ref().map_err(|reason| match reason {
        Unusable::Sealed(_) | Unusable::NoPartition(_) => Refusal::KeyUnusable,
    })
}

/// A fault as Decrypt tells it.
const fn while_decrypting(fault: KeyFault) -> Refusal {
    match fault {
        KeyFault::Input => Refusal::InvalidCiphertext,
        KeyFault::Key
        | KeyFault::Token
        | KeyFault::Full
        | KeyFault::NotStarted
        | KeyFault::Late
        | KeyFault::Missing
        | KeyFault::SelfCheck => while_encrypting(fault),
    }
}

/// A fault as Encrypt tells it: nothing in the request can be at fault.
const fn while_encrypting(fault: KeyFault) -> Refusal {
    match fault {
        KeyFault::Key => Refusal::KeyUsage,
        KeyFault::Input | KeyFault::Token => Refusal::KeyManagerDown,
        KeyFault::Full => Refusal::QueueFull,
        KeyFault::NotStarted => Refusal::NotStarted,
        KeyFault::Late => Refusal::KeyManagerTimeout,
        KeyFault::Missing => Refusal::KeyUnusable,
        KeyFault::SelfCheck => Refusal::SelfCheckFailed,
    }
}
