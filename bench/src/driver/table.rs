//! The findings of a bench run, for people and for programs.

use std::fmt::{self, Write as _};
use std::fs;
use std::time::SystemTime;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::process::Kind;
use super::series::{Row, Sample};
use super::verdict::{Outcome, Verdict};

/// Where and when it was measured.
#[derive(Clone, Debug)]
pub struct Machine {
    cpu: String,
    cores: usize,
    kernel: String,
    date: String,
}

impl Machine {
    /// This machine, now.
    #[must_use]
    pub fn here() -> Self {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus.lines().find(|line| line.starts_with("model name"));
        let model = model.and_then(|line| line.split_once(": "));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let now = OffsetDateTime::from(SystemTime::now());
        Self {
            cpu: model.map_or("unknown CPU", |(_, name)| name).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: kernel.trim().to_owned(),
            date: now.format(&Rfc3339).unwrap_or_default(),
        }
    }
}

/// Everything found, as a table.
#[derive(Debug)]
pub struct Table<'f> {
    /// Where.
    pub machine: &'f Machine,
    /// What was found.
    pub sections: &'f [Section],
}

/// The findings of one suite. Only rows of one section compare.
#[derive(Debug)]
pub struct Section {
    /// Which keys were measured.
    pub keys: &'static str,
    /// What was measured.
    pub rows: Vec<Row>,
    /// What it means.
    pub verdicts: Vec<Verdict>,
}

impl Table<'_> {
    /// The same for programs, with every single sample.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let rows = self.sections.iter().flat_map(Section::rows_to_json);
        let verdicts = self.sections.iter().flat_map(Section::verdicts_to_json);
        json!({
            "machine": {
                "cpu": self.machine.cpu,
                "cores": self.machine.cores,
                "kernel": self.machine.kernel,
                "date": self.machine.date,
            },
            "rows": rows.collect::<Vec<_>>(),
            "verdicts": verdicts.collect::<Vec<_>>(),
        })
    }

    /// Whether every promise that could be checked is kept.
    #[must_use]
    pub fn all_kept(&self) -> bool {
        let mut verdicts = self.sections.iter().flat_map(|section| &section.verdicts);
        verdicts.all(|verdict| verdict.outcome() != Outcome::Missed)
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cpu, cores, kernel, date } = self.machine;
        writeln!(f, "{cpu}, {cores} cores, Linux {kernel}, {date}")?;
        for section in self.sections {
            writeln!(f, "\n{section}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "keys: {}", self.keys)?;
        writeln!(
            f,
            "{:<28}{:<10}{:>9}{:>8}{:>8}{:>9}{:>9}{:>9}{:>8}{:>8}{:>6}{:>7}",
            "medians", "server", "rate/s", "x floor", "x peer", "cpu us", "p50 us", "p99 us", "client", "foreign", "tries", "errors"
        )?;
        for row in &self.rows {
            writeln!(f, "{}", self.line(row)?)?;
        }
        writeln!(f)?;
        writeln!(f, "{:<42}{:>10}{:>12}{:>12}", "promise", "measured", "must", "aim")?;
        for verdict in &self.verdicts {
            let measured = verdict.measured.map_or_else(|| "-".into(), |v| format!("{v:.2}"));
            let aim = verdict.aim.map_or_else(|| "-".into(), |aim| aim.to_string());
            let must = verdict.must.map_or_else(|| "-".into(), |must| must.to_string());
            let outcome = verdict.outcome().as_str();
            writeln!(f, "{:<42}{measured:>10}{must:>12}{aim:>12}  {outcome}", verdict.name)?;
        }
        Ok(())
    }
}

impl Section {
    fn rows_to_json(&self) -> impl Iterator<Item = Value> {
        self.rows.iter().map(|row| {
            json!({
                "keys": self.keys,
                "test": row.test.name(),
                "server": row.server.as_str(),
                "median": {
                    "rate": row.median(|s| s.rate),
                    "cpu_us": row.median(|s| s.cpu_us),
                    "p50_us": row.median(|s| s.p50_us),
                    "p99_us": row.median(|s| s.p99_us),
                },
                "samples": row.samples,
            })
        })
    }

    fn verdicts_to_json(&self) -> impl Iterator<Item = Value> {
        self.verdicts.iter().map(|verdict| {
            json!({
                "keys": self.keys,
                "promise": verdict.name,
                "measured": verdict.measured,
                "must": verdict.must.map(|must| must.to_string()),
                "aim": verdict.aim.map(|aim| aim.to_string()),
                "outcome": verdict.outcome().as_str(),
            })
        })
    }

    fn rate_of(&self, row: &Row, server: Kind) -> Option<f64> {
        let mut rows = self.rows.iter();
        let other = rows.find(|other| other.test == row.test && other.server == server)?;
        let rate = other.median(|s| s.rate);
        (rate > 0.0).then(|| row.median(|s| s.rate) / rate)
    }

    fn line(&self, row: &Row) -> Result<String, fmt::Error> {
        let mut line = format!("{:<28}{:<10}", row.test.name(), row.server.as_str());
        write!(line, "{:>9.0}", row.median(|s| s.rate))?;
        for server in [Kind::Floor, Kind::Peer] {
            let ratio = self.rate_of(row, server);
            let ratio = ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"));
            write!(line, "{ratio:>8}")?;
        }
        let worst = |of: fn(&Sample) -> f64| row.samples.iter().map(of).fold(0.0, f64::max);
        let sum = |of: fn(&Sample) -> u64| row.samples.iter().map(of).sum::<u64>();
        write!(
            line,
            "{:>9.1}{:>9.0}{:>9.0}{:>8.2}{:>8.2}{:>6}{:>7}",
            row.median(|s| s.cpu_us),
            row.median(|s| s.p50_us),
            row.median(|s| s.p99_us),
            row.median(|s| s.client_cores),
            worst(|s| s.foreign_cores),
            sum(|s| s.tries.into()),
            sum(|s| s.errors + s.unsent),
        )?;
        Ok(line)
    }
}
