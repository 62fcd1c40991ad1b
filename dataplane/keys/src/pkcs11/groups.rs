//! All groups of a host.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    front::{Front, Order},
    group::{Group, Member},
    preflight::Pkcs11Fault,
    settings::Pkcs11Settings,
    status::{Condition, PartitionStatus},
    traffic,
};

/// All groups of a host, started.
pub struct Groups {
    groups: BTreeMap<String, Arc<Group>>,
    /// In the order of the configuration.
    fronts: Vec<Arc<Front>>,
}

impl Groups {
    /// Opens every partition, side by side. One whose token can't be reached is down, and connected once it can.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration.
    pub fn start(settings: Pkcs11Settings) -> Result<Arc<Self>, Vec<Pkcs11Fault>> {
        let mut fronts = Vec::new();
        let mut members: BTreeMap<String, Vec<Member>> = BTreeMap::new();
        for partition in settings.partitions {
            let (orders, _listens) = crossbeam_channel::unbounded();
            let front = Front::new(&partition.name, &partition.group, orders);
            front.set_condition(Condition::Down("partitions are not opened yet".into()));
            fronts.push(Arc::clone(&front));
            members.entry(partition.group).or_default().push(Member { front, task: partition.timeouts.task });
        }
        let groups = members.into_iter().map(|(name, members)| (name.clone(), Group::new(&name, members))).collect();
        Ok(Arc::new(Self { groups, fronts }))
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
        self.fronts.iter().map(|front| front.status()).collect()
    }

    /// Says what the metrics mean, to the process's recorder. Once, after it was installed and before [`Groups::start`].
    pub fn describe_metrics() {
        traffic::describe();
    }

    /// Brings the gauges up to date.
    pub fn export_metrics(&self) {
        for (front, status) in self.fronts.iter().zip(self.status()) {
            front.traffic.gauges(&status);
        }
    }

    /// Ends every partition. What waits is answered.
    pub fn stop(&self) {
        for front in &self.fronts {
            front.order(Order::Stop);
        }
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        self.stop();
    }
}
