//! All groups of a host: from its settings to partitions that run.
//!
//! Holds: everything that is wrong with the configuration is told at once, and then nothing runs; a token that fails never stops a
//! start. Partitions are opened side by side.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, bounded, unbounded};
use tracing::error;

use super::{
    front::{Front, Order},
    gate::Gate,
    group::{Group, Member},
    handles::KeyName,
    isolation::{self, Host},
    keeper::Keeper,
    key::GroupKey,
    partition::Partition,
    preflight::{Connected, check_health_key, check_settings, check_tokens, connect},
    settings::{Isolation, PartitionSettings, Pkcs11Settings},
    start::{Pkcs11Fault, Problem},
    status::{PartitionStatus, TokenFacts},
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
        let Pkcs11Settings { partitions, state_dir, keyhost } = settings;
        let mut faults = check_settings(&partitions);
        let opening: Vec<Opening> = partitions.iter().map(Opening::new).collect();
        let fronts: Vec<Arc<Front>> = opening.iter().map(|opening| Arc::clone(&opening.front)).collect();
        let mut members = BTreeMap::<String, Vec<(Member, String)>>::new();
        let mut places = Vec::new();
        for (partition, front) in partitions.into_iter().zip(&fronts) {
            let member = Member::new(Arc::clone(front), &partition);
            let group = members.entry(partition.group).or_default();
            places.push(group.len());
            group.push((member, partition.health_key));
        }
        faults.extend(open(opening, &state_dir, &keyhost));
        let facts: Vec<_> = fronts.iter().filter_map(|front| front.facts().map(|facts| (Arc::clone(front), facts))).collect();
        faults.extend(check_tokens(&facts.iter().map(|(front, facts)| (&*front.name, &**facts)).collect::<Vec<_>>()));
        if !faults.is_empty() {
            end(&fronts.iter().collect::<Vec<_>>());
            return Err(each_once(faults));
        }

        let (nudge, nudges) = bounded(1);
        let mut groups = BTreeMap::new();
        let mut health_keys: Vec<Arc<GroupKey>> = Vec::new();
        for (name, members) in members {
            let (members, mut labels): (Vec<_>, Vec<_>) = members.into_iter().unzip();
            let group = Group::new(&name, members, &state_dir, nudge.clone());
            let label = if labels.is_empty() { String::new() } else { labels.swap_remove(0) };
            health_keys.push(group.named(KeyName { cka_id: Box::default(), label }));
            groups.insert(name, group);
        }
        thread::scope(|scope| health_keys.iter().for_each(|key| drop(scope.spawn(|| key.establish()))));
        let keeper = Keeper::start(health_keys, nudge, nudges);
        let keeper = keeper.map_err(|cause| error!(%cause, "no thread keeps the proofs and health checks of groups")).ok();
        Ok(Arc::new(Self { groups, fronts: fronts.into_iter().zip(places).collect(), keeper: Mutex::new(keeper) }))
    }

    /// Everything that is wrong with the configuration or with the tokens, without serving. It connects to each token once, in this
    /// process, wherever the partition is to run.
    #[must_use]
    pub fn check(settings: &Pkcs11Settings) -> Vec<Pkcs11Fault> {
        let mut faults = check_settings(&settings.partitions);
        let begun = Instant::now();
        let asked: Vec<_> = settings.partitions.iter().map(|partition| (partition, ask(partition, &settings.state_dir))).collect();
        let mut facts = Vec::new();
        for (partition, answer) in asked {
            let limit = partition.timeouts.open;
            match answer.recv_timeout(limit.saturating_sub(begun.elapsed())) {
                Ok(Ok(found)) => facts.push((&*partition.name, found)),
                Ok(Err(found)) => faults.extend(found),
                Err(_) => faults.push(Pkcs11Fault::new(&partition.name, Problem::Timeout(limit))),
            }
        }
        faults.extend(check_tokens(&facts.iter().map(|(name, facts)| (*name, facts)).collect::<Vec<_>>()));
        each_once(faults)
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

    /// Ends every partition. What waits is answered. Comes back when no thread is inside a module any more, but for calls that hang: a
    /// process may end then, which takes the modules away from under whoever is in them.
    pub fn stop(&self) {
        end(&self.fronts.iter().map(|(front, _)| front).collect::<Vec<_>>());
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

/// Ends partitions, and waits for their ends as long as that helps.
fn end(fronts: &[&Arc<Front>]) {
    let until = Instant::now() + END;
    fronts.iter().for_each(|front| front.order(Order::Stop));
    while fronts.iter().any(|front| !front.has_ended()) && Instant::now() < until {
        thread::sleep(LOOK);
    }
}

/// A partition that is to be opened.
struct Opening {
    settings: PartitionSettings,
    front: Arc<Front>,
    orders: Receiver<Order>,
}

impl Opening {
    fn new(settings: &PartitionSettings) -> Self {
        let (order, orders) = unbounded();
        Self { front: Front::new(&settings.name, &settings.group, order), settings: settings.clone(), orders }
    }

    fn open(self, state_dir: &Path, keyhost: &[PathBuf]) -> Vec<Pkcs11Fault> {
        let Self { settings, front, orders } = self;
        match settings.isolation {
            Isolation::None => Partition::start(settings, state_dir, front, orders),
            Isolation::Process => {
                let host = Host { settings, state_dir: state_dir.to_owned(), keyhost: keyhost.to_vec() };
                isolation::start(host, front, orders)
            }
        }
        .err()
        .unwrap_or_default()
    }
}

/// Opens all of them, side by side.
fn open(partitions: Vec<Opening>, state_dir: &Path, keyhost: &[PathBuf]) -> Vec<Pkcs11Fault> {
    thread::scope(|scope| {
        let opened: Vec<_> = partitions.into_iter().map(|partition| scope.spawn(|| partition.open(state_dir, keyhost))).collect();
        // One that panicked has told so.
        opened.into_iter().flat_map(|opened| opened.join().unwrap_or_default()).collect()
    })
}

/// What the token says of itself, if it can serve. A thread that hangs in the module is left to itself.
fn ask(partition: &PartitionSettings, state_dir: &Path) -> Receiver<Result<TokenFacts, Vec<Pkcs11Fault>>> {
    let (answer, answered) = bounded(1);
    let (settings, state_dir) = (partition.clone(), state_dir.to_owned());
    thread::spawn(move || {
        let looked = connect(&settings, &state_dir, Gate::open())
            .and_then(|Connected { anchor, facts, .. }| check_health_key(&settings, &anchor).map(|_| facts).map_err(|fault| vec![fault]));
        // Whoever asked may have given up.
        let _ = answer.send(looked);
    });
    answered
}

fn each_once(faults: Vec<Pkcs11Fault>) -> Vec<Pkcs11Fault> {
    faults.into_iter().fold(Vec::new(), |mut once, fault| {
        if !once.contains(&fault) {
            once.push(fault);
        }
        once
    })
}

/// For all partitions together to end: one in this process takes a second at most, one that is killed may take longer.
const END: Duration = Duration::from_secs(3);

/// How often they are looked at meanwhile.
const LOOK: Duration = Duration::from_millis(2);
