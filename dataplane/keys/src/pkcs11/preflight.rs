//! Connecting to a partition's token, and everything that has to be right about it.
//!
//! Holds: every configuration fault that can be seen is in the list, not only the first; a PIN is tried once at most, and not at all while
//! anything else of the configuration is wrong. Blocks: called on a thread of a partition, or by the CLI.

use std::{path::Path, sync::Arc};

use holdfast_proto::records::KeyUsage;

use super::{
    gate::Gate,
    handles::KeyName,
    login::{Login, LoginError},
    module::{Module, ModuleError},
    objects::{FindError, FoundKey},
    pin::{Pin, PinError, warn_of_readers},
    seen,
    session::Session,
    settings::PartitionSettings,
    start::{Pkcs11Fault, Problem},
    status::TokenFacts,
    token::{Token, TokenError},
    vendor::Vendor,
};

/// A token with a session that is logged in.
pub(crate) struct Connected {
    pub(crate) token: Token,
    /// Keeps the login of all sessions alive. It can write, where the token allows that.
    pub(crate) anchor: Session,
    pub(crate) facts: TokenFacts,
}

/// Checks what can be checked without the module: names among each other, vendor, module path, PIN source.
pub(crate) fn check_settings(partitions: &[PartitionSettings]) -> Vec<Pkcs11Fault> {
    let mut faults = Vec::new();
    for (index, settings) in partitions.iter().enumerate() {
        let before = partitions.get(..index).unwrap_or_default();
        if before.iter().any(|other| other.name == settings.name) {
            faults.push(Pkcs11Fault::new(&settings.name, Problem::NameTwice));
        }
        let same = |other: &&PartitionSettings| other.module == settings.module && other.token == settings.token;
        if let Some(other) = before.iter().find(same) {
            faults.push(Pkcs11Fault::new(&settings.name, Problem::SameToken { other: other.name.clone() }));
        }
        faults.extend(check_local(settings));
        warn_of_readers(&settings.name, &settings.pin);
    }
    faults
}

/// Two partitions that name one token in different ways, once tokens were seen. By name, with what each token says of itself.
pub(crate) fn check_tokens(seen: &[(&str, &TokenFacts)]) -> Vec<Pkcs11Fault> {
    let mut faults = Vec::new();
    for (index, (name, facts)) in seen.iter().enumerate() {
        let same = |(_, other): &&(&str, &TokenFacts)| (&other.manufacturer, &other.serial) == (&facts.manufacturer, &facts.serial);
        if let Some((other, _)) = seen.get(..index).unwrap_or_default().iter().find(same) {
            faults.push(Pkcs11Fault::new(name, Problem::SameToken { other: (*other).to_owned() }));
        }
    }
    faults
}

/// Loads the module, finds the token, opens a session that can write and logs in.
pub(crate) fn connect(settings: &PartitionSettings, state_dir: &Path, gate: Arc<Gate>) -> Result<Connected, Vec<Pkcs11Fault>> {
    let mut faults = check_local(settings);
    let known = seen::read(settings, state_dir);
    let fault = |problem| Pkcs11Fault::new(&settings.name, problem);
    let module = match Module::load(&settings.module) {
        Ok(module) => module,
        Err(error) => {
            // `check_local` has told of a missing file.
            if !matches!(error, ModuleError::Missing(_)) {
                faults.push(fault(module_problem(settings, &error, known.is_some())));
            }
            return Err(faults);
        }
    };
    let token = match Token::find(&module, &settings.token, known.as_ref()) {
        Ok(token) => token.with_vendor(settings.vendor.as_deref().and_then(Vendor::named)),
        Err(error) => {
            faults.push(fault(token_problem(settings, error, known.is_some())));
            return Err(faults);
        }
    };
    let facts = token.facts(settings.id);
    let login = Login::new(settings.pin.clone(), state_dir, facts.id);
    match token.missing_mechanisms() {
        Ok(missing) if missing.is_empty() => {}
        Ok(missing) => faults.push(fault(Problem::NoMechanism { mechanisms: missing.into_iter().map(str::to_owned).collect() })),
        Err(error) => faults.push(fault(Problem::Unreachable { why: error.to_string() })),
    }
    if let Err(cause) = seen::keep(settings, state_dir, &facts, token.slot()) {
        faults.push(fault(Problem::StateDir { path: state_dir.to_owned(), why: cause.to_string() }));
    }
    // Known to fail: told without a word to the token.
    match login.refusal() {
        Ok(None) => {}
        Ok(Some(why)) => faults.push(fault(Problem::PinRefusedBefore { why })),
        // `check_local` has told of a PIN that is not there.
        Err(LoginError::Pin(_)) => {}
        Err(error) => faults.push(fault(login_problem(state_dir, &error))),
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let anchor = open(&token, gate).map_err(|error| Problem::Unreachable { why: error.to_string() });
    let logged_in = anchor.and_then(|anchor| match login.log_in(&anchor) {
        Ok(()) => Ok(anchor),
        Err(error) => Err(login_problem(state_dir, &error)),
    });
    logged_in.map(|anchor| Connected { token, anchor, facts }).map_err(|problem| vec![fault(problem)])
}

/// The key for health checks and canaries, if it can serve.
pub(crate) fn check_health_key(settings: &PartitionSettings, session: &Session) -> Result<FoundKey, Pkcs11Fault> {
    let label = settings.health_key.clone();
    let name = KeyName { cka_id: Box::default(), label: label.clone() };
    let problem = match session.find(&name) {
        Ok(found) if found.usage == KeyUsage::BOTH => return Ok(found),
        Ok(found) => {
            let lacks = if found.usage.encrypt { "CKA_DECRYPT" } else { "CKA_ENCRYPT" };
            Problem::HealthKeyWrong { label, why: format!("lacks {lacks}") }
        }
        Err(FindError::None) => Problem::HealthKeyMissing { label },
        Err(FindError::Many) => Problem::HealthKeyTwice { label },
        Err(FindError::NotAes256(what)) => Problem::HealthKeyWrong { label, why: format!("is {what}") },
        Err(FindError::Call(call)) => Problem::Unreachable { why: call.to_string() },
    };
    Err(Pkcs11Fault::new(&settings.name, problem))
}

fn check_local(settings: &PartitionSettings) -> Vec<Pkcs11Fault> {
    let mut problems = Vec::new();
    if let Some(vendor) = settings.vendor.as_ref().filter(|vendor| Vendor::named(vendor).is_none()) {
        let known = Vendor::names().into_iter().map(str::to_owned).collect();
        problems.push(Problem::UnknownVendor { vendor: vendor.clone(), known });
    }
    if let Err(error) = std::fs::metadata(&settings.module) {
        problems.push(Problem::ModuleMissing { path: settings.module.clone(), why: error.to_string() });
    }
    if let Err(error) = Pin::read(&settings.pin) {
        problems.push(pin_problem(&error));
    }
    problems.into_iter().map(|problem| Pkcs11Fault::new(&settings.name, problem)).collect()
}

fn module_problem(settings: &PartitionSettings, error: &ModuleError, seen: bool) -> Problem {
    let path = settings.module.clone();
    match error {
        ModuleError::Missing(why) => Problem::ModuleMissing { path, why: why.clone() },
        // A module that worked and does not initialise now: some reach for their device there.
        ModuleError::Initialize(call) if seen => Problem::Unreachable { why: call.to_string() },
        ModuleError::Broken(_) | ModuleError::Initialize(_) => Problem::ModuleBroken { path, why: error.to_string() },
    }
}

fn token_problem(settings: &PartitionSettings, error: TokenError, seen: bool) -> Problem {
    let token = settings.token.to_string();
    match error {
        TokenError::None(_) if seen => Problem::Unreachable { why: format!("the module has no token {token} any more") },
        TokenError::None(existing) => Problem::NoSuchToken { token, existing },
        TokenError::Many(existing) => Problem::TokenTwice { token, existing },
        TokenError::Call(call) => Problem::Unreachable { why: call.to_string() },
    }
}

fn login_problem(state_dir: &Path, error: &LoginError) -> Problem {
    match error {
        LoginError::Pin(error) => pin_problem(error),
        LoginError::RefusedBefore(why) => Problem::PinRefusedBefore { why: why.clone() },
        LoginError::Refused(why) => Problem::PinRefused { why: why.clone() },
        LoginError::Memory(cause) => Problem::StateDir { path: state_dir.to_owned(), why: cause.to_string() },
        LoginError::Call(call) => Problem::Unreachable { why: call.to_string() },
    }
}

fn pin_problem(error: &PinError) -> Problem {
    Problem::PinSource(match error {
        PinError::File { cause, .. } => format!("{error}: {cause}"),
        PinError::NoCredentials(_) | PinError::CredentialName(_) | PinError::Env(_) | PinError::Empty | PinError::Long => error.to_string(),
    })
}

/// For writing, where the token allows it: key tasks make keys.
fn open(token: &Token, gate: Arc<Gate>) -> Result<Session, super::fault::CallError> {
    match token.open(true, Arc::clone(&gate)) {
        Err(error) if error.rv == cryptoki_sys::CKR_TOKEN_WRITE_PROTECTED => token.open(false, gate),
        opened => opened,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pkcs11::settings::{PinSource, TokenSelector};

    #[test]
    fn partitions_must_differ_in_name_and_token() {
        let pin = || PinSource::Env("PATH".into());
        let one = PartitionSettings::new("one".into(), "/etc/passwd".into(), TokenSelector::Label("a".into()), pin());
        let two = PartitionSettings { name: "two".into(), token: TokenSelector::Label("b".into()), ..one.clone() };
        assert_eq!(check_settings(&[one.clone(), two.clone()]), []);
        let named_alike = PartitionSettings { name: "one".into(), ..two };
        assert_eq!(check_settings(&[one.clone(), named_alike]), [Pkcs11Fault::new("one", Problem::NameTwice)]);
        let same = PartitionSettings { name: "two".into(), ..one.clone() };
        assert_eq!(check_settings(&[one, same]), [Pkcs11Fault::new("two", Problem::SameToken { other: "one".into() })]);
    }

    #[test]
    fn one_token_under_two_names_is_told_once_it_was_seen() {
        let facts = |serial: &str| TokenFacts {
            id: uuid::Uuid::nil(),
            label: "label".into(),
            manufacturer: "maker".into(),
            model: "model".into(),
            firmware: "1.0".into(),
            serial: serial.into(),
        };
        let (first, second) = (facts("1"), facts("2"));
        assert_eq!(check_tokens(&[("one", &first), ("two", &second)]), []);
        let told = check_tokens(&[("one", &first), ("two", &second), ("three", &first)]);
        assert_eq!(told, [Pkcs11Fault::new("three", Problem::SameToken { other: "one".into() })]);
    }
}
