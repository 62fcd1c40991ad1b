//! Data planes, as admins see them.

use super::{Core, CoreError, write::Plan};
use crate::{
    access::{Administer, Permit, Read},
    names::NodeName,
    publish::NodeView,
    store::{
        View,
        entry::{Entry, EntryChange, NodeEntry},
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

    /// Forgets a node: its stream ends, certificates that it has are refused, and nothing waits for it any more.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn forget_node(&self, _permit: &Permit<Administer>, name: &NodeName) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let node = view.node(name)?.filter(|node| node.registered).ok_or(CoreError::NotFound("node"))?;
            let forgotten = Entry::Node(NodeEntry { revoked_ms: Some(super::draw::now_ns() / 1_000_000), registered: false, ..node });
            Ok(Plan { changes: vec![EntryChange::Put(forgotten)], answer: () })
        };
        self.writer.change(plan).await?;
        // After the commit: a stream that begins meanwhile is refused by what was committed, or found here.
        self.publisher.forget(name);
        Ok(())
    }
}
