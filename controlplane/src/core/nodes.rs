//! Data planes, as admins see them.

use super::{Core, CoreError, write::Plan};
use crate::{
    access::{Administer, Permit, Read},
    names::NodeName,
    publish::NodeView,
    store::{
        View,
        entry::{Entry, EntryChange, Fingerprint, NodeEntry},
    },
};

impl Core {
    /// All registered nodes: what they hold, what they can't serve, when they were last heard of.
    #[must_use]
    pub fn nodes(&self, _permit: &Permit<Read>) -> Vec<NodeView> {
        self.publisher.nodes()
    }

    /// Offers a node everything again, also after it refused a push.
    ///
    /// # Errors
    /// [`CoreError::NotFound`] where no such node is connected.
    pub fn resync_node(&self, _permit: &Permit<Administer>, name: &NodeName) -> Result<(), CoreError> {
        if self.publisher.resync(name) { Ok(()) } else { Err(CoreError::NotFound("connected node")) }
    }

    /// Forgets a node: its stream ends, certificates that it has are refused, and nothing waits for it any more. A name that never
    /// connected is forgotten, too, so that what was enrolled for it and got lost can't be used. Whether the node was registered.
    ///
    /// # Errors
    /// [`CoreError::Read`] or [`CoreError::Commit`].
    pub async fn forget_node(&self, permit: &Permit<Administer>, name: &NodeName) -> Result<bool, CoreError> {
        let plan = |view: &View| {
            let known = view.node(name)?;
            let registered = known.as_ref().is_some_and(|node| node.registered);
            // Of a node that never came, its certificate isn't known; what counts is when the name was forgotten.
            let (fingerprint, enrolled_ms) = known.map_or((Fingerprint([0; 32]), 0), |node| (node.fingerprint, node.enrolled_ms));
            let revoked_ms = Some(crate::clock::now_ns() / 1_000_000);
            let forgotten = NodeEntry { name: name.clone(), fingerprint, enrolled_ms, revoked_ms, registered: false };
            Ok(Plan { changes: vec![EntryChange::put(Entry::Node(forgotten))], answer: registered })
        };
        let (registered, _) = self.writer.change(permit.trail(), plan).await?;
        // After the commit: a stream that begins meanwhile is refused by what was committed, or found here.
        self.publisher.forget(name);
        Ok(registered)
    }
}
