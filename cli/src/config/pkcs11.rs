//! `[[module]]`, `[[partition]]` and `[[group]]` of `dataplane.toml` → settings of PKCS#11 partitions.

use std::{collections::BTreeMap, num::NonZeroU32, path::PathBuf, time::Duration};

use holdfast_keys::pkcs11::settings::{Isolation, PartitionSettings, PinSource, TokenSelector};
use uuid::Uuid;

use super::Section;

/// All partitions of the file. None where one of them has a fault; it was noted.
pub(super) fn partitions(root: &Section<'_>) -> Option<Vec<PartitionSettings>> {
    let modules: BTreeMap<String, PathBuf> = root.sections("module").iter().filter_map(module).collect();
    let health_keys: BTreeMap<String, String> = root.sections("group").iter().filter_map(group).collect();
    // Each is read before any is given up on, so that all faults show.
    let sections = root.sections("partition");
    let read: Vec<_> = sections.iter().map(|section| partition(section, &modules)).collect();
    let mut partitions = read.into_iter().collect::<Option<Vec<_>>>()?;
    for name in health_keys.keys().filter(|name| !partitions.iter().any(|partition| partition.group == **name)) {
        root.refuse("group", &format!("{name:?} has no partition"));
    }
    for partition in &mut partitions {
        if let Some(label) = health_keys.get(&partition.group) {
            partition.health_key.clone_from(label);
        }
    }
    Some(partitions)
}

fn module(section: &Section<'_>) -> Option<(String, PathBuf)> {
    let name = section.required("name", Section::text);
    let path = section.required("path", Section::path);
    section.finish();
    Some((name?, path?))
}

fn group(section: &Section<'_>) -> Option<(String, String)> {
    let name = section.required("name", Section::text);
    let health_key = section.required("health_key", Section::text);
    section.finish();
    Some((name?, health_key?))
}

fn partition(section: &Section<'_>, modules: &BTreeMap<String, PathBuf>) -> Option<PartitionSettings> {
    let name = section.required("name", Section::text);
    let module = section.required("module", Section::text).and_then(|name| {
        let path = modules.get(&name).cloned();
        if path.is_none() {
            section.refuse("module", &format!("{name:?} is the name of no [[module]]"));
        }
        path
    });
    let tokens = [
        section.text("token_label").map(TokenSelector::Label),
        section.text("token_serial").map(TokenSelector::Serial),
        section.number("slot", 0..=u64::MAX).map(TokenSelector::Slot),
    ];
    let token = exactly_one(section, "token_label", "token_label, token_serial and slot", tokens);
    let pins = [
        section.path("pin_file").map(PinSource::File),
        section.text("pin_credential").map(PinSource::Credential),
        section.text("pin_env").map(PinSource::Env),
    ];
    let pin = exactly_one(section, "pin_file", "pin_file, pin_credential and pin_env", pins);
    let group = section.text("group");
    let id = section.text("id").and_then(|text| {
        let id = Uuid::try_parse(&text).ok();
        if id.is_none() {
            section.refuse("id", "must be a UUID");
        }
        id
    });
    let sessions = section.number("sessions", 1..=4096).and_then(|n| u32::try_from(n).ok()).and_then(NonZeroU32::new);
    let open = section.number("open_timeout_seconds", 1..=300).map(Duration::from_secs);
    let task = section.number("task_timeout_seconds", 1..=300).map(Duration::from_secs);
    let vendor = section.text("vendor");
    let isolation = section.choice("isolation", &[Isolation::None, Isolation::Process].map(|mode| (mode.as_str(), mode)));
    section.finish();

    let mut settings = PartitionSettings::new(name?, module?, token?, pin?);
    if let Some(group) = group {
        settings.group = group;
    }
    settings.id = id;
    settings.sessions = sessions;
    settings.timeouts.open = open.unwrap_or(settings.timeouts.open);
    settings.timeouts.task = task.unwrap_or(settings.timeouts.task);
    settings.vendor = vendor;
    settings.isolation = isolation.unwrap_or_default();
    Some(settings)
}

fn exactly_one<T>(section: &Section<'_>, key: &'static str, names: &str, given: [Option<T>; 3]) -> Option<T> {
    let mut given = given.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(one), None) => Some(one),
        (Some(_), Some(_)) | (None, _) => {
            section.refuse(key, &format!("must be the only one of {names}, and one must be there"));
            None
        }
    }
}
