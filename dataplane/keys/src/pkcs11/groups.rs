//! All groups of a host: from its settings to partitions that run.
//!
//! Holds: everything that is wrong with the configuration is told at once, and then nothing runs; a token that fails never stops a
//! start. Partitions are opened side by side.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use super::{
    Pkcs11Fault,
    front::{Front, Order},
    group::{Group, Member},
    handles::KeyName,
    keeper::Keeper,
    settings::Pkcs11Settings,
    status::{Condition, PartitionStatus},
    traffic,
};

/// All groups of a host, started.
pub struct Groups {
    groups: BTreeMap<String, Arc<Group>>,
    /// In the order of the configuration, with the place in the group.
    fronts: Vec<(Arc<Front>, usize)>,
    keeper: Mutex<Option<Keeper>>,
}

impl Groups {
    /// Opens every partition, side by side. One whose token can't be reached is down, and connected once it can. In groups of more
    /// than one, the members prove the health key before this returns.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration.
    pub fn start(settings: Pkcs11Settings) -> Result<Arc<Self>, Vec<Pkcs11Fault>> {
        let (nudge, nudges) = crossbeam_channel::bounded(1);
        let mut fronts = Vec::new();
        let mut members: BTreeMap<String, (Vec<Member>, String)> = BTreeMap::new();
        for partition in &settings.partitions {
            let (orders, _listens) = crossbeam_channel::unbounded();
            let front = Front::new(&partition.name, &partition.group, orders);
            front.set_condition(Condition::Down("partitions are not opened yet".into()));
            let (group, _) = members.entry(partition.group.clone()).or_insert_with(|| (Vec::new(), partition.health_key.clone()));
            fronts.push((Arc::clone(&front), group.len()));
            group.push(Member::new(front, partition));
        }
        let mut health_keys = Vec::new();
        let mut groups = BTreeMap::new();
        for (name, (members, health_key)) in members {
            let group = Group::new(&name, members, &settings.state_dir, nudge.clone());
            health_keys.push(group.named(KeyName { cka_id: Box::default(), label: health_key }));
            groups.insert(name, group);
        }
        thread::scope(|scope| {
            for key in &health_keys {
                scope.spawn(|| key.establish());
            }
        });
        let keeper = Keeper::start(groups.values().cloned().collect(), nudge, nudges).ok();
        Ok(Arc::new(Self { groups, fronts, keeper: Mutex::new(keeper) }))
    }

    /// Everything that is wrong with the configuration or with the tokens, without serving.
    #[must_use]
    pub fn check(_settings: &Pkcs11Settings) -> Vec<Pkcs11Fault> {
        Vec::new()
    }

    /// The names of the groups, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.groups.keys().cloned().collect()
    }

    /// A group by its name.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&Arc<Group>> {
        self.groups.get(name)
    }

    /// Every partition at this moment, in the order of the configuration.
    #[must_use]
    pub fn status(&self) -> Vec<PartitionStatus> {
        let of = |(front, at): &(Arc<Front>, usize)| {
            let excluded = self.groups.get(&*front.group).map(|group| group.excluded(*at)).unwrap_or_default();
            PartitionStatus { excluded, ..front.status() }
        };
        self.fronts.iter().map(of).collect()
    }

    /// Says what the metrics mean, to the process's recorder. Once, after that was installed and before [`Groups::start`].
    pub fn describe_metrics() {
        traffic::describe();
    }

    /// Brings the gauges up to date.
    pub fn export_metrics(&self) {
        for ((front, _), status) in self.fronts.iter().zip(self.status()) {
            front.traffic.gauges(&status);
        }
    }

    /// Ends every partition. What waits is answered.
    pub fn stop(&self) {
        for (front, _) in &self.fronts {
            front.order(Order::Stop);
        }
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeper) = keeper {
            keeper.stop();
        }
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        self.stop();
    }
}
