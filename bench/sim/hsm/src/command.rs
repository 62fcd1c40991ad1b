//! What the control sockets understand: faults, queries, and the nudges between processes.
//!
//! Holds: a command is answered `ok` when every process that lives has taken it over.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    control::{ask, siblings},
    function::Reach,
    ledger::{Fault, Kind, Ledger},
    module::Module,
    partition::Partition,
    rv::Rv,
};

/// What is left to do when the answer is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Nothing,
    Crash,
}

/// The answer to one line.
pub(crate) fn answer(module: &Module, path: &Path, line: &str) -> (Value, After) {
    let done = match serde_json::from_str::<Nudge>(line) {
        Ok(nudge) => nudge.obey(module),
        Err(_) => serde_json::from_str::<Command>(line).map_err(|error| error.to_string()).and_then(|command| command.run(module, path)),
    };
    done.unwrap_or_else(|error| (json!({"ok": false, "error": error}), After::Nothing))
}

/// One line from outside.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    partition: Option<String>,
    fault: Name,
    ms: Option<u64>,
    rv: Option<Rv>,
    calls: Option<u64>,
    on: Option<Reach>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Name {
    Hang,
    Slow,
    Error,
    LoseSessions,
    RemoveToken,
    ReuseHandles,
    WrongPin,
    Crash,
    Clear,
    Status,
}

/// One line from another process of the module.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Nudge {
    nudge: Errand,
    serial: String,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Errand {
    Reload,
    Report,
    Crash,
}

/// One process's part of a status.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Report {
    sessions: usize,
    opened: u64,
    logged_in: u64,
    hanging: usize,
    /// Whether `wrong_pins` and `logins` are the token's own, the same in every process.
    kept: bool,
    wrong_pins: u64,
    logins: u64,
    calls: BTreeMap<String, u64>,
}

impl Command {
    fn run(self, module: &Module, path: &Path) -> Result<(Value, After), String> {
        self.check_fields()?;
        let Some(named) = &self.partition else {
            if self.fault != Name::Status {
                return Err("partition: a label or serial is needed".to_owned());
            }
            let all = module.partitions().iter().map(|partition| status(partition, path)).collect::<Result<Vec<_>, _>>()?;
            return Ok((json!({"ok": true, "partitions": all}), After::Nothing));
        };
        let partition = find(module, named)?;
        let on = self.on.unwrap_or_default();
        let until = |ms: Option<u64>| ms.map(|ms| SystemTime::now() + Duration::from_millis(ms));
        let extra = Duration::from_millis(self.ms.unwrap_or(0));
        match (self.fault, self.rv) {
            (Name::Hang, _) => change(partition, path, |ledger| ledger.add(Kind::Hang, on, until(self.ms), self.calls)),
            (Name::Slow, _) => change(partition, path, |ledger| ledger.add(Kind::Slow(extra), on, None, self.calls)),
            (Name::Error, Some(rv)) => change(partition, path, |ledger| ledger.add(Kind::Error(rv.code()), on, until(self.ms), self.calls)),
            (Name::Error, None) => Err("rv: error needs it".to_owned()),
            (Name::RemoveToken, _) => change(partition, path, |ledger| ledger.add(Kind::RemoveToken, Reach::All, until(self.ms), None)),
            (Name::LoseSessions, _) => change(partition, path, |ledger| ledger.lost += 1),
            (Name::ReuseHandles, _) => change(partition, path, |ledger| ledger.reused += 1),
            (Name::Clear, _) => change(partition, path, |ledger| ledger.faults.clear()),
            (Name::Crash, _) if self.ms.is_none() => change(partition, path, |ledger| ledger.add(Kind::Crash, on, None, None)),
            (Name::Crash, _) => crash_now(partition, path),
            (Name::WrongPin, _) => {
                let report = whole(partition, path)?.1;
                Ok((json!({"ok": true, "attempts": report.wrong_pins, "logins": report.logins}), After::Nothing))
            }
            (Name::Status, _) => {
                let mut status = status(partition, path)?;
                status["ok"] = Value::Bool(true);
                Ok((status, After::Nothing))
            }
        }
    }

    /// That the command has the fields that its fault needs, and no other.
    fn check_fields(&self) -> Result<(), String> {
        let (ms, rv, calls, on) = match self.fault {
            Name::Hang => (true, false, true, true),
            Name::Slow => (true, false, true, true),
            Name::Error => (true, true, true, true),
            Name::RemoveToken => (true, false, false, false),
            Name::Crash => (true, false, false, self.ms.is_none()),
            Name::LoseSessions | Name::ReuseHandles | Name::WrongPin | Name::Clear | Name::Status => (false, false, false, false),
        };
        let given = [
            ("ms", self.ms.is_some(), ms),
            ("rv", self.rv.is_some(), rv),
            ("calls", self.calls.is_some(), calls),
            ("on", self.on.is_some(), on),
        ];
        if let Some((field, ..)) = given.iter().find(|(_, is_there, may_be)| *is_there && !may_be) {
            return Err(format!("{field}: this fault does not take it"));
        }
        match (self.fault, self.ms) {
            (Name::Slow, None) => Err("ms: slow needs it".to_owned()),
            (Name::Crash, Some(1..)) => Err("ms: crash takes 0 (at once) or none (at the next call)".to_owned()),
            _ if self.calls == Some(0) => Err("calls: at least 1 is needed".to_owned()),
            _ => Ok(()),
        }
    }
}

impl Nudge {
    fn obey(&self, module: &Module) -> Result<(Value, After), String> {
        // A process with another configuration may lack the partition.
        let Some(partition) = module.partitions().iter().find(|partition| partition.config.serial == self.serial) else {
            return Ok((json!({"ok": true, "report": Report::default(), "crashes": false}), After::Nothing));
        };
        match self.nudge {
            Errand::Reload => {
                partition.gate.reload().map_err(|error| shown(&error))?;
                partition.settle();
                Ok((json!({"ok": true}), After::Nothing))
            }
            Errand::Report => Ok((json!({"ok": true, "report": report(partition)?}), After::Nothing)),
            Errand::Crash => {
                let crashes = partition.sessions.count() > 0;
                Ok((json!({"ok": true, "crashes": crashes}), if crashes { After::Crash } else { After::Nothing }))
            }
        }
    }
}

/// Changes the faults of a partition in every process.
fn change(partition: &Partition, path: &Path, change: impl FnOnce(&mut Ledger)) -> Result<(Value, After), String> {
    partition.gate.update(change).map_err(|error| shown(&error))?;
    partition.settle();
    tell(partition, path, Errand::Reload)?;
    Ok((json!({"ok": true}), After::Nothing))
}

/// Crashes every process with a session on the partition.
fn crash_now(partition: &Partition, path: &Path) -> Result<(Value, After), String> {
    let others = tell(partition, path, Errand::Crash)?.iter().any(|(_, answer)| answer["crashes"] == true);
    let this = partition.sessions.count() > 0;
    if !others && !this {
        return Err(format!("no process has a session on {}", partition.config.label));
    }
    Ok((json!({"ok": true}), if this { After::Crash } else { After::Nothing }))
}

fn status(partition: &Partition, path: &Path) -> Result<Value, String> {
    let (processes, report) = whole(partition, path)?;
    let now = SystemTime::now();
    let ledger = partition.gate.ledger();
    let faults: Vec<_> = ledger.faults.iter().filter(|fault| fault.is_on(now)).map(fault_shown).collect();
    Ok(json!({
        "partition": partition.config.label, "serial": partition.config.serial, "processes": processes, "sessions": report.sessions,
        "opened": report.opened, "logged_in": report.logged_in, "hanging": report.hanging, "wrong_pins": report.wrong_pins,
        "logins": report.logins, "calls": report.calls, "faults": faults,
    }))
}

/// How many processes there are, and the sum of their reports.
fn whole(partition: &Partition, path: &Path) -> Result<(usize, Report), String> {
    let mut sum = report(partition)?;
    let others = tell(partition, path, Errand::Report)?;
    let processes = 1 + others.len();
    for (pid, mut answer) in others {
        let other: Report = serde_json::from_value(answer["report"].take()).map_err(|error| format!("process {pid}: {error}"))?;
        sum.add(other);
    }
    Ok((processes, sum))
}

impl Report {
    fn add(&mut self, other: Self) {
        self.sessions += other.sessions;
        self.opened += other.opened;
        self.logged_in += other.logged_in;
        self.hanging += other.hanging;
        if !self.kept {
            self.wrong_pins += other.wrong_pins;
            self.logins += other.logins;
        }
        other.calls.into_iter().for_each(|(name, count)| *self.calls.entry(name).or_default() += count);
    }
}

fn report(partition: &Partition) -> Result<Report, String> {
    let pins = partition.token.pins().map_err(|rv| format!("state: {}", rv.name()))?;
    Ok(Report {
        sessions: partition.sessions.count(),
        opened: partition.sessions.opened(),
        logged_in: partition.sessions.logged_in().into(),
        hanging: partition.gate.hanging(),
        kept: partition.token.is_kept(),
        wrong_pins: pins.wrong,
        logins: pins.logins,
        calls: partition.gate.counts().filter(|(_, n)| *n > 0).map(|(function, n)| (function.name().to_owned(), n)).collect(),
    })
}

/// Sends an errand to every other process that lives, and gives their answers.
fn tell(partition: &Partition, path: &Path, errand: Errand) -> Result<Vec<(u32, Value)>, String> {
    let message = json!(Nudge { nudge: errand, serial: partition.config.serial.clone() });
    let mut answers = Vec::new();
    for pid in siblings(path).map_err(|error| shown(&error))? {
        let answer = ask(path, pid, &message).map_err(|error| format!("process {pid}: {error}"))?;
        let Some(answer) = answer else { continue };
        if answer["ok"] != true {
            return Err(format!("process {pid}: {}", answer["error"]));
        }
        answers.push((pid, answer));
    }
    Ok(answers)
}

fn find<'m>(module: &'m Module, named: &str) -> Result<&'m Partition, String> {
    let by_serial = module.partitions().iter().find(|partition| partition.config.serial == named);
    let mut by_label = module.partitions().iter().filter(|partition| partition.config.label == named);
    match (by_serial, by_label.next(), by_label.next()) {
        (Some(partition), ..) | (None, Some(partition), None) => Ok(partition),
        (None, Some(_), Some(_)) => Err(format!("partition: several have the label {named:?}; name the serial")),
        (None, None, _) => Err(format!("partition: no {named:?} here")),
    }
}

fn fault_shown(fault: &Fault) -> Value {
    let mut shown = match fault.kind {
        Kind::Hang => json!({"fault": Name::Hang}),
        Kind::Slow(extra) => json!({"fault": Name::Slow, "ms": extra.as_millis() as u64}),
        Kind::Error(code) => json!({"fault": Name::Error, "rv": Rv::from_code(code).map(Rv::name)}),
        Kind::RemoveToken => json!({"fault": Name::RemoveToken}),
        Kind::Crash => json!({"fault": Name::Crash}),
    };
    shown["on"] = json!(fault.on);
    if let Some(calls) = fault.calls {
        shown["calls"] = json!(calls);
    }
    shown
}

fn shown(error: &io::Error) -> String {
    format!("fault ledger: {error}")
}
