//! Source keys: what really encrypts. They are made by a connected data plane, never here.

use std::time::Duration;

use holdfast_proto::records::KeyUsage;
use uuid::Uuid;

use super::{Core, CoreError, draw::now_ns};
use crate::{
    access::{Permit, Read, Right},
    publish::{Done, KeyTask, TaskError, Work},
    store::entry::{SourceKeyEntry, Stamps, Tier},
};

/// A source key that is to be made.
#[derive(Clone, Debug)]
pub struct NewSourceKey {
    /// What admins call it.
    pub name: String,
    /// Where it is to live.
    pub tier: Tier,
    /// What it may be used for.
    pub usage: KeyUsage,
    /// Never wrapped for export. HYOK and health keys always are.
    pub unexportable: bool,
}

impl Core {
    /// All source keys.
    ///
    /// # Errors
    /// [`CoreError::Read`].
    pub async fn source_keys(&self, _permit: &Permit<Read>) -> Result<Vec<SourceKeyEntry>, CoreError> {
        Ok(self.view().await?.source_keys()?)
    }

    /// Has a key made. Whoever asks commits the entry; the same `id` again gives the same key.
    pub(super) async fn make_source_key<R: Right>(
        &self,
        _permit: &Permit<R>,
        id: Uuid,
        new: NewSourceKey,
    ) -> Result<SourceKeyEntry, CoreError> {
        let target = match new.tier {
            Tier::Local => "local".to_owned(),
            Tier::Partition(group) => group,
        };
        let work = Work::Generate { usage: new.usage, unexportable: new.unexportable };
        match self.publisher.run(KeyTask { id, target, deadline: DEADLINE, work }).await? {
            Done::Generated(key) => Ok(SourceKeyEntry { id, name: new.name, key, stamps: Stamps::new(now_ns()) }),
            Done::Attributes(_) | Done::HealthCiphertext(_) => Err(CoreError::from(TaskError::Malformed)),
        }
    }
}

impl From<TaskError> for CoreError {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::NoNode { target } => Self::NoNode { target },
            TaskError::Deadline => Self::Deadline,
            TaskError::Unavailable { .. } | TaskError::Refused { .. } | TaskError::Unsupported { .. } | TaskError::Malformed => {
                Self::Refused(error.to_string())
            }
        }
    }
}

/// For a key on an HSM, too.
const DEADLINE: Duration = Duration::from_secs(10);
