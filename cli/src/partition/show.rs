//! Partitions and their keys, for people and for programs.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver},
    thread,
    time::Instant,
};

use data_encoding::HEXLOWER;
use holdfast_keys::pkcs11::{
    admin::TokenAdmin,
    settings::PartitionSettings,
    status::{KeyAttributes, TokenFacts},
};
use serde::Serialize;

use crate::{failure::chain, output::table};

/// A partition, as a login found it.
#[derive(Serialize)]
pub(super) struct Listed {
    name: String,
    group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<TokenFacts>,
    faults: Vec<String>,
}

/// A key.
#[derive(Serialize)]
pub(super) struct Key {
    partition: String,
    label: String,
    /// `CKA_ID`, in hexadecimal.
    id: String,
    key_type: String,
    bits: Option<u32>,
    attributes: std::collections::BTreeMap<String, bool>,
}

impl Listed {
    /// Logs in to all of them side by side. One that hangs is said to, and left to itself.
    pub(super) fn all(partitions: &[PartitionSettings], state_dir: &Path) -> Vec<Self> {
        let begun = Instant::now();
        let asked: Vec<_> = partitions.iter().map(|partition| (partition, ask(partition.clone(), state_dir.to_owned()))).collect();
        let listed = asked.into_iter().map(|(partition, answered)| {
            let limit = partition.timeouts.open;
            let (token, faults) = match answered.recv_timeout(limit.saturating_sub(begun.elapsed())) {
                Ok(Ok(facts)) => (Some(facts), Vec::new()),
                Ok(Err(faults)) => (None, faults),
                Err(_) => (None, vec![format!("partition {:?}: the token did not answer within {} s", partition.name, limit.as_secs())]),
            };
            Self { name: partition.name.clone(), group: partition.group.clone(), token, faults }
        });
        listed.collect()
    }

    pub(super) fn is_well(&self) -> bool {
        self.faults.is_empty()
    }
}

impl Key {
    pub(super) fn of(partition: &str, key: &KeyAttributes) -> Self {
        Self {
            partition: partition.into(),
            label: key.label.clone(),
            id: HEXLOWER.encode(&key.cka_id),
            key_type: key.key_type.clone(),
            bits: key.bits,
            attributes: key.attributes.iter().cloned().collect(),
        }
    }
}

fn ask(partition: PartitionSettings, state_dir: PathBuf) -> Receiver<Result<TokenFacts, Vec<String>>> {
    let (answer, answered) = mpsc::channel();
    thread::spawn(move || {
        // Closed before it is told: the process may end then.
        let facts = TokenAdmin::open(&partition, &state_dir).map(|admin| admin.facts().clone());
        // Whoever asked may have given up.
        let _ = answer.send(facts.map_err(|faults| faults.iter().map(|fault| chain(fault)).collect()));
    });
    answered
}

pub(super) fn partitions(all: &[Listed]) -> String {
    let mut rows = vec![["PARTITION", "GROUP", "TOKEN", "SERIAL", "MODEL", "FIRMWARE", "ID"].map(ToOwned::to_owned)];
    rows.extend(all.iter().map(|one| {
        let fact = |of: fn(&TokenFacts) -> String| one.token.as_ref().map_or_else(|| "-".to_owned(), of);
        [
            one.name.clone(),
            one.group.clone(),
            fact(|token| token.label.clone()),
            fact(|token| token.serial.clone()),
            fact(|token| format!("{} {}", token.manufacturer, token.model)),
            fact(|token| token.firmware.clone()),
            fact(|token| token.id.to_string()),
        ]
    }));
    let mut text = table(&rows);
    for fault in all.iter().flat_map(|one| &one.faults) {
        let _ = write!(text, "\n{fault}");
    }
    text
}

pub(super) fn keys(all: &[Key]) -> String {
    let mut rows = vec![["PARTITION", "LABEL", "ID", "TYPE", "BITS", "ATTRIBUTES"].map(ToOwned::to_owned)];
    rows.extend(all.iter().map(|key| {
        let set = key.attributes.iter().filter(|(_, set)| **set).map(|(name, _)| name.trim_start_matches("CKA_").to_lowercase());
        [
            key.partition.clone(),
            key.label.clone(),
            key.id.clone(),
            key.key_type.clone(),
            key.bits.map_or_else(|| "-".to_owned(), |bits| bits.to_string()),
            set.collect::<Vec<_>>().join(" "),
        ]
    }));
    table(&rows)
}
