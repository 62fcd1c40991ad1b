//! Which node a peer is: its certificate, and what the store says of that name (design §7.6).
//!
//! Always holds: a node is registered before it is sent anything, so that from then on promotions wait for it. A certificate issued no
//! later than its name was last forgotten is refused; one enrolled anew under the name is welcome. That the control plane's own authority
//! signed the certificate for a client was checked by the TLS handshake.

use std::sync::Arc;

use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{
    audit::{Audit, Changes},
    names::NodeName,
    pki::{fingerprint, issued_ms},
    store::{
        CommitError, ReadError, Store, View,
        entry::{Entry, EntryChange, Fingerprint, NodeEntry},
    },
};

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    name: NodeName,
    fingerprint: Fingerprint,
    issued_ms: u64,
}

/// Why a peer is not let in.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAdmitted {
    /// No certificate, or one that does not parse.
    #[error("there is no readable client certificate")]
    Certificate,
    /// Signed by our authority, but not for a node.
    #[error("the certificate's common name is not a node's")]
    Name,
    /// The name was forgotten after the certificate was issued.
    #[error("node {0} was forgotten; enrol it anew")]
    Forgotten(NodeName),
    /// The store can't be read.
    #[error("the store can't be read")]
    Read(#[from] ReadError),
    /// The store can't be written.
    #[error("the node can't be registered")]
    Commit(#[from] CommitError),
}

impl Identity {
    /// Reads a certificate.
    ///
    /// # Errors
    /// [`NotAdmitted::Certificate`] or [`NotAdmitted::Name`].
    pub(super) fn of(der: &[u8]) -> Result<Self, NotAdmitted> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| NotAdmitted::Certificate)?;
        let mut names = certificate.subject().iter_common_name();
        let (Some(name), None) = (names.next(), names.next()) else { return Err(NotAdmitted::Name) };
        let name = name.as_str().map_err(|_| NotAdmitted::Name)?;
        let name = NodeName::try_from(name).map_err(|_| NotAdmitted::Name)?;
        Ok(Self { name, fingerprint: fingerprint(der), issued_ms: issued_ms(certificate.raw_serial()) })
    }

    /// Registers the node if it isn't, and gives its entry.
    ///
    /// # Errors
    /// [`NotAdmitted::Forgotten`], or the store's trouble.
    pub(super) async fn register(&self, store: &Arc<dyn Store>, audit: &Audit) -> Result<NodeEntry, NotAdmitted> {
        loop {
            let view = View::of(store).await?;
            let known = self.admitted(view.node(&self.name)?)?;
            let entry = self.entry(known.as_ref());
            if known.as_ref() == Some(&entry) {
                return Ok(entry);
            }
            let (revision, changes) = (view.revision(), vec![EntryChange::put(Entry::Node(entry.clone()))]);
            let shown = Changes::of(&view, &changes)?;
            drop(view);
            match store.commit(revision, changes).await {
                Ok(_) => {
                    audit.system("registration", &shown);
                    return Ok(entry);
                }
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Looks again, now that the node can be found by whoever forgets it.
    ///
    /// # Errors
    /// [`NotAdmitted::Forgotten`], or the store's trouble.
    pub(super) async fn still_admitted(&self, store: &Arc<dyn Store>) -> Result<(), NotAdmitted> {
        self.admitted(View::of(store).await?.node(&self.name)?).map(drop)
    }

    fn admitted(&self, known: Option<NodeEntry>) -> Result<Option<NodeEntry>, NotAdmitted> {
        match known {
            Some(entry) if entry.revoked_ms.is_some_and(|revoked| self.issued_ms <= revoked) => {
                Err(NotAdmitted::Forgotten(self.name.clone()))
            }
            known => Ok(known),
        }
    }

    fn entry(&self, known: Option<&NodeEntry>) -> NodeEntry {
        NodeEntry {
            name: self.name.clone(),
            fingerprint: self.fingerprint,
            enrolled_ms: self.issued_ms,
            // Older certificates of the name stay refused.
            revoked_ms: known.and_then(|known| known.revoked_ms),
            registered: true,
        }
    }
}
