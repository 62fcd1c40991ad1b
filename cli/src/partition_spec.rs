//! `--partition`: a PKCS#11 partition in one argument.

use std::{num::NonZeroU32, path::PathBuf, str::FromStr};

use holdfast_keys::pkcs11::settings::{Isolation, PartitionSettings, PinSource, TokenSelector};
use uuid::Uuid;

/// What [`PartitionSpec`] takes.
pub(crate) const FORM: &str = "module=PATH,token=LABEL,pin-file=FILE[,group=NAME][,id=UUID][,isolation=process][,name=NAME][,sessions=N][,vendor=NAME][,health-key=LABEL]";

/// A partition as it was written, and what it means.
#[derive(Clone, Debug)]
pub(crate) struct PartitionSpec {
    /// For another process of ours to read.
    pub(crate) text: String,
    /// The name is the token's label unless one was given.
    pub(crate) settings: PartitionSettings,
    has_name: bool,
    has_group: bool,
}

impl FromStr for PartitionSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut fields = Fields::parse(text)?;
        let module = fields.take("module").map(PathBuf::from);
        let token = fields.take("token");
        let pin = fields.take("pin-file").map(|file| PinSource::File(file.into()));
        let (Some(module), Some(token), Some(pin)) = (module, token, pin) else {
            return Err(format!("module=, token= and pin-file= must be there: {FORM}"));
        };
        let name = fields.take("name");
        let group = fields.take("group");
        let (has_name, has_group) = (name.is_some(), group.is_some());
        let mut settings = PartitionSettings::new(name.unwrap_or_else(|| token.clone()), module, TokenSelector::Label(token), pin);
        if let Some(group) = group {
            settings.group = group;
        }
        settings.id = fields.take("id").map(|id| Uuid::try_parse(&id).map_err(|_| format!("id={id}: must be a UUID"))).transpose()?;
        settings.isolation = match fields.take("isolation").as_deref() {
            None | Some("none") => Isolation::None,
            Some("process") => Isolation::Process,
            Some(other) => return Err(format!("isolation={other}: must be none or process")),
        };
        settings.sessions = fields
            .take("sessions")
            .map(|n| n.parse::<NonZeroU32>().map_err(|_| format!("sessions={n}: must be a number from 1 on")))
            .transpose()?;
        settings.vendor = fields.take("vendor");
        if let Some(label) = fields.take("health-key") {
            settings.health_key = label;
        }
        fields.finish()?;
        Ok(Self { text: text.into(), settings, has_name, has_group })
    }
}

impl PartitionSpec {
    /// The same, under the name that tells it from others.
    pub(crate) fn named(&self, name: &str) -> Self {
        let mut named = self.clone();
        if !self.has_name {
            named.text = format!("{},name={name}", self.text);
            (named.settings.name, named.has_name) = (name.into(), true);
        }
        named
    }

    /// The token's label.
    pub(crate) fn token_label(&self) -> &str {
        match &self.settings.token {
            TokenSelector::Label(text) | TokenSelector::Serial(text) => text,
            TokenSelector::Slot(_) => "",
        }
    }
}

/// The partitions of several arguments: those that share a token label and were given no names are told apart by a number.
pub(crate) fn told_apart(specs: &[PartitionSpec]) -> Vec<PartitionSettings> {
    let mut named: Vec<PartitionSettings> = Vec::with_capacity(specs.len());
    for spec in specs {
        let mut settings = spec.settings.clone();
        if !spec.has_name {
            let taken = |name: &str| named.iter().any(|other| other.name == name);
            let mut nth = 2;
            while taken(&settings.name) {
                settings.name = format!("{}-{nth}", spec.settings.name);
                nth += 1;
            }
        }
        if !spec.has_group {
            settings.group.clone_from(&settings.name);
        }
        named.push(settings);
    }
    named
}

struct Fields(Vec<(String, String)>);

impl Fields {
    fn parse(text: &str) -> Result<Self, String> {
        let mut fields: Vec<(String, String)> = Vec::new();
        for field in text.split(',') {
            let (name, value) = field.split_once('=').ok_or_else(|| format!("{field:?} is not NAME=VALUE: {FORM}"))?;
            if fields.iter().any(|(known, _)| known == name) {
                return Err(format!("{name}= is there twice"));
            }
            if value.is_empty() {
                return Err(format!("{name}= is empty"));
            }
            fields.push((name.into(), value.into()));
        }
        Ok(Self(fields))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(at).1)
    }

    fn finish(self) -> Result<(), String> {
        self.0.first().map_or(Ok(()), |(name, _)| Err(format!("{name}= is unknown: {FORM}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Result<PartitionSpec, String> {
        text.parse()
    }

    #[test]
    fn the_short_form_says_it_all() {
        let text = "module=/m.so,token=T,pin-file=/p,id=6b1b36b0-5b5a-4b0e-9a3c-000000000001,group=g,isolation=process";
        let settings = spec(text).unwrap().settings;
        assert_eq!((settings.name.as_str(), settings.group.as_str(), settings.isolation), ("T", "g", Isolation::Process));
        assert_eq!((settings.token, settings.pin), (TokenSelector::Label("T".into()), PinSource::File("/p".into())));
        assert!(settings.id.is_some());
    }

    #[test]
    fn a_partition_without_a_group_is_its_own_and_equal_labels_are_told_apart() {
        let specs = ["module=/m,token=T,pin-file=/p", "module=/n,token=T,pin-file=/p", "module=/n,token=U,pin-file=/p,group=T"];
        let settings = told_apart(&specs.map(|text| spec(text).unwrap()));
        let names: Vec<_> = settings.iter().map(|one| (one.name.as_str(), one.group.as_str())).collect();
        assert_eq!(names, [("T", "T"), ("T-2", "T-2"), ("U", "T")]);
        // Told to another process, it is still that one.
        let second = spec(&spec(specs[1]).unwrap().named("T-2").text).unwrap();
        assert_eq!((second.settings.name.as_str(), second.settings.module), ("T-2", settings[1].module.clone()));
    }

    #[test]
    fn every_fault_names_its_field() {
        let good = "module=/m,token=T,pin-file=/p";
        for (text, word) in [
            ("module=/m,token=T".to_owned(), "pin-file="),
            (format!("{good},id=7"), "id=7"),
            (format!("{good},isolation=thread"), "isolation=thread"),
            (format!("{good},sessions=0"), "sessions=0"),
            (format!("{good},token=U"), "token= is there twice"),
            (format!("{good},colour=red"), "colour= is unknown"),
            (format!("{good},group="), "group= is empty"),
            (format!("{good},x"), "not NAME=VALUE"),
        ] {
            let error = spec(&text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
