//! The PKCS#11 groups of `holdfast dev`: which keys their demo key stores stand on.
//!
//! Holds: in a group of one the keys are made when missing; in a larger one they must be on every member, or the failure says which lacks
//! one; all faults of all partitions are told at once.

use std::path::{Path, PathBuf};

use holdfast_keys::pkcs11::settings::{PartitionSettings, Pkcs11Settings};

use crate::{
    config,
    failure::Failure,
    logging::LogSettings,
    partition::{Ensured, EnsuredKey},
    partition_spec::{PartitionSpec, told_apart},
};

/// A group with the two keys that its demo needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DemoGroup {
    pub(super) name: String,
    /// Labels of its tokens.
    pub(super) labels: Vec<String>,
    /// None while none of its tokens can be reached.
    pub(super) keys: Option<DemoKeys>,
    /// Tokens that can't be reached at present, and why.
    pub(super) unreachable: Vec<String>,
}

/// What a demo key store stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DemoKeys {
    pub(super) health: EnsuredKey,
    pub(super) demo: EnsuredKey,
}

/// All partitions that `dev` was given.
pub(super) struct Partitions<'a> {
    specs: &'a [PartitionSpec],
    settings: Vec<PartitionSettings>,
    state_dir: PathBuf,
}

impl<'a> Partitions<'a> {
    pub(super) fn new(specs: &'a [PartitionSpec], state_dir: &Path) -> Self {
        Self { specs, settings: told_apart(specs), state_dir: state_dir.into() }
    }

    /// For the data plane.
    pub(super) fn settings(&self, log: &LogSettings) -> Pkcs11Settings {
        let keyhost = config::dataplane::keyhost(log);
        Pkcs11Settings { partitions: self.settings.clone(), state_dir: self.state_dir.clone(), keyhost }
    }

    /// Finds the keys, or makes them, one token after another.
    pub(super) fn prepare(&self) -> Result<Vec<DemoGroup>, Failure> {
        let mut names: Vec<&str> = Vec::new();
        for settings in &self.settings {
            if !names.contains(&settings.group.as_str()) {
                names.push(&settings.group);
            }
        }
        let mut faults = Vec::new();
        let mut groups = Vec::new();
        for name in names {
            let members: Vec<_> = self.specs.iter().zip(&self.settings).filter(|(_, settings)| settings.group == name).collect();
            let mut group = Gathered::default();
            for (spec, settings) in &members {
                let labels = [settings.health_key.as_str(), DEMO_KEY];
                let ensured = Ensured::ask(&spec.named(&settings.name), &self.state_dir, members.len() == 1, &labels)?;
                group.add(settings, &labels, ensured);
            }
            faults.append(&mut group.faults);
            let labels = members.iter().map(|(spec, _)| spec.token_label().to_owned()).collect();
            groups.push(DemoGroup { name: name.into(), labels, keys: group.keys, unreachable: group.unreachable });
        }
        if faults.is_empty() { Ok(groups) } else { Err(Failure::new(faults.join("\n"))) }
    }
}

#[derive(Default)]
struct Gathered {
    keys: Option<DemoKeys>,
    faults: Vec<String>,
    unreachable: Vec<String>,
}

impl Gathered {
    fn add(&mut self, member: &PartitionSettings, labels: &[&str; 2], ensured: Ensured) {
        match ensured {
            Ensured::Faults(faults) => self.faults.extend(faults),
            Ensured::Unreachable(why) => self.unreachable.extend(why),
            Ensured::Keys(keys) => {
                for (label, key) in labels.iter().zip(&keys) {
                    if key.is_none() {
                        self.faults.push(format!(
                            "partition {} of group {} has no key labelled {label:?}: in a group of more than one partition, make it with the vendor's tools and copy it to each",
                            member.name, member.group
                        ));
                    }
                }
                if let [Some(health), Some(demo)] = &keys[..] {
                    let here = DemoKeys { health: health.clone(), demo: demo.clone() };
                    self.keys = Some(self.keys.take().map_or_else(|| here.clone(), |before| before.shared(&here)));
                }
            }
        }
    }
}

impl DemoKeys {
    /// What names the keys on both members: a `CKA_ID` that differs names neither.
    fn shared(self, other: &Self) -> Self {
        let shared = |ours: EnsuredKey, theirs: &EnsuredKey| EnsuredKey {
            cka_id: if ours.cka_id == theirs.cka_id { ours.cka_id } else { Vec::new() },
            label: ours.label,
        };
        Self { health: shared(self.health, &other.health), demo: shared(self.demo, &other.demo) }
    }
}

/// Label of the key that a demo key store encrypts with.
const DEMO_KEY: &str = "holdfast-demo";

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;

    fn member(name: &str) -> PartitionSettings {
        let spec: PartitionSpec = format!("module=/m,token={name},pin-file=/p,group=g").parse().unwrap();
        told_apart(slice::from_ref(&spec)).remove(0)
    }

    fn key(id: u8, label: &str) -> Option<EnsuredKey> {
        Some(EnsuredKey { cka_id: vec![id], label: label.into() })
    }

    const LABELS: [&str; 2] = ["holdfast-health", DEMO_KEY];

    #[test]
    fn a_member_that_lacks_a_key_is_named_with_it() {
        let mut group = Gathered::default();
        group.add(&member("a"), &LABELS, Ensured::Keys(vec![key(1, LABELS[0]), key(2, LABELS[1])]));
        group.add(&member("b"), &LABELS, Ensured::Keys(vec![key(1, LABELS[0]), None]));
        assert!(matches!(&group.faults[..], [one] if one.contains("partition b") && one.contains(DEMO_KEY)), "{:?}", group.faults);
    }

    #[test]
    fn keys_that_share_a_label_but_no_id_are_named_by_label() {
        let mut group = Gathered::default();
        group.add(&member("a"), &LABELS, Ensured::Keys(vec![key(1, LABELS[0]), key(2, LABELS[1])]));
        group.add(&member("b"), &LABELS, Ensured::Keys(vec![key(1, LABELS[0]), key(3, LABELS[1])]));
        let keys = group.keys.unwrap();
        assert_eq!((keys.health.cka_id.as_slice(), keys.demo.cka_id.as_slice(), keys.demo.label.as_str()), (&[1][..], &[][..], DEMO_KEY));
    }

    #[test]
    fn a_token_that_is_away_is_no_fault_while_another_has_the_keys() {
        let mut group = Gathered::default();
        group.add(&member("a"), &LABELS, Ensured::Unreachable(vec!["away".into()]));
        group.add(&member("b"), &LABELS, Ensured::Keys(vec![key(1, LABELS[0]), key(2, LABELS[1])]));
        assert!(group.faults.is_empty() && group.keys.is_some());
        assert_eq!(group.unreachable, ["away"]);
    }
}
