//! Single measurements, each guarded against whatever else runs on the machine.
//!
//! Holds: a measurement with more than `FOREIGN_LIMIT` cores of foreign CPU is made again, at most `TRIES` times;
//! the least disturbed one is kept and says how disturbed it was.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use tokio::runtime::{Builder, Runtime};

use super::DriverError;
use super::process::{Kind, START_TIME, Server};
use super::usage::Usage;
use crate::load::run;
use crate::plan::{Connections, End, LoadPlan, Pace, Shape};
use crate::report::LoadReport;
use crate::wrk::{WrkResult, script};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Test {
    /// As many requests as wrk gets answered over this many kept connections.
    Saturated(u32),
    /// The same without an integrity value, of servers that wait for each request (see [`super::suite::WAIT`]).
    Waiting(u32),
    /// This many requests per second over sixteen kept connections, on schedule.
    Paced(NonZeroU32),
    /// New connections, one request each, from this many clients.
    Fresh(u32),
}

impl Test {
    /// The name in tables.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Saturated(connections) => format!("saturated, c={connections}"),
            Self::Waiting(connections) => format!("waiting, c={connections}"),
            Self::Paced(rate) => format!("paced, {rate}/s"),
            Self::Fresh(1) => "new connections, 1 client".into(),
            Self::Fresh(clients) => format!("new connections, {clients} clients"),
        }
    }
}

/// One measurement of one server.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    /// Answers per second; for new connections that is connections per second.
    pub rate: f64,
    /// The server's CPU time per request, in microseconds.
    pub cpu_us: f64,
    /// Median latency in microseconds; for new connections from before the TCP handshake to the answer.
    pub p50_us: f64,
    /// The 99th percentile, in microseconds.
    pub p99_us: f64,
    /// Refusals, lost connections and late answers.
    pub errors: u64,
    /// Requests of a fixed schedule that were never sent.
    pub unsent: u64,
    /// Cores that the load generator used.
    pub client_cores: f64,
    /// Cores that neither server nor generator used.
    pub foreign_cores: f64,
    /// Which try this is.
    pub tries: u32,
}

/// Makes measurements.
#[derive(Debug)]
pub struct Bench {
    wrk: PathBuf,
    /// Of each measurement.
    pub(super) length: Duration,
    /// One thread: the generator should leave the server a core.
    single: Runtime,
    /// Two threads, for handshakes, which cost a client as much as the server.
    double: Runtime,
}

impl Bench {
    /// A bench that measures for `length` at a time and finds wrk at `wrk`.
    ///
    /// # Errors
    /// When no Tokio runtime can be made.
    pub fn new(wrk: PathBuf, length: Duration) -> Result<Self, DriverError> {
        Ok(Self {
            wrk,
            length,
            single: Builder::new_current_thread().enable_all().build()?,
            double: Builder::new_multi_thread().worker_threads(2).enable_all().build()?,
        })
    }

    /// Waits until a server answers an Encrypt with 200.
    ///
    /// # Errors
    /// When it does not within half a minute; what it answered instead is in the error.
    pub fn await_ready(&self, server: &Server) -> Result<(), DriverError> {
        let until = Instant::now() + START_TIME;
        loop {
            let plan = LoadPlan { connections: 1, end: End::Requests(1), ..LoadPlan::new(vec![server.target.clone()]) };
            let report = self.single.block_on(run(plan))?;
            if report.failed() == 0 {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(DriverError::NotReady { name: server.kind.as_str(), said: report.to_string() });
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// Makes one measurement, and makes it again while others disturb it.
    ///
    /// # Errors
    /// When the server is gone, wrk does not run, or `/proc` is not Linux's.
    pub fn measure(&self, server: &Server, test: Test) -> Result<Sample, DriverError> {
        let mut best = self.once(server, test)?;
        for tries in 2..=TRIES {
            if best.foreign_cores <= FOREIGN_LIMIT {
                break;
            }
            let again = self.once(server, test)?;
            if again.foreign_cores < best.foreign_cores {
                best = again;
            }
            best.tries = tries;
        }
        Ok(best)
    }

    fn once(&self, server: &Server, test: Test) -> Result<Sample, DriverError> {
        match test {
            Test::Saturated(connections) => self.saturated(server, connections, Shape::default()),
            Test::Waiting(connections) => self.saturated(server, connections, Shape { cdiv: false, ..Shape::default() }),
            Test::Paced(rate) => {
                let mut plan = self.plan(server);
                plan.connections = 16;
                plan.pace = Pace::Open { rate };
                load(&self.single, server, plan)
            }
            Test::Fresh(clients) => {
                let mut plan = self.plan(server);
                plan.connections = usize::try_from(clients).unwrap_or(1);
                plan.reuse = Connections::Fresh;
                let runtime = match clients {
                    1 => &self.single,
                    _ => &self.double,
                };
                load(runtime, server, plan)
            }
        }
    }

    fn plan(&self, server: &Server) -> LoadPlan {
        LoadPlan { end: End::After(self.length), ..LoadPlan::new(vec![server.target.clone()]) }
    }

    fn saturated(&self, server: &Server, connections: u32, shape: Shape) -> Result<Sample, DriverError> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("encrypt.lua");
        let text = script(&server.target, shape, SystemTime::now());
        std::fs::write(&file, text)?;
        let mut command = self.wrk_command(server, connections, &file);
        let before = Usage::read(server.pid)?;
        let output = command.output().map_err(|cause| DriverError::Start { program: self.wrk.clone(), cause })?;
        let spent = before.until(Usage::read(server.pid)?);
        let said = String::from_utf8_lossy(&output.stdout);
        let result = WrkResult::parse(&said)
            .ok_or_else(|| DriverError::Wrk { said: format!("{said}{}", String::from_utf8_lossy(&output.stderr)) })?;
        Ok(Sample {
            rate: result.rate(),
            cpu_us: spent.server_us / result.requests.max(1) as f64,
            p50_us: result.p50_us,
            p99_us: result.p99_us,
            errors: result.errors,
            unsent: 0,
            client_cores: spent.client_cores,
            foreign_cores: spent.foreign_cores,
            tries: 1,
        })
    }

    fn wrk_command(&self, server: &Server, connections: u32, script: &Path) -> Command {
        let target = &server.target;
        let mut command = Command::new(&self.wrk);
        command
            .args(["-t1", &format!("-c{connections}")])
            .arg(format!("-d{}s", self.length.as_secs().max(1)))
            .arg("-s")
            .arg(script)
            .arg(format!("https://{}:{}", target.host(), target.port()));
        command
    }
}

/// Runs a plan and puts its report together with what the server's process spent on it.
fn load(runtime: &Runtime, server: &Server, plan: LoadPlan) -> Result<Sample, DriverError> {
    let before = Usage::read(server.pid)?;
    let report: LoadReport = runtime.block_on(run(plan))?;
    let spent = before.until(Usage::read(server.pid)?);
    let micros = |quantile| report.latency(quantile).as_nanos() as f64 / 1e3;
    Ok(Sample {
        rate: report.rate(),
        cpu_us: spent.server_us / report.answered().max(1) as f64,
        p50_us: micros(0.5),
        p99_us: micros(0.99),
        errors: report.failed(),
        unsent: report.unsent,
        client_cores: spent.client_cores,
        foreign_cores: spent.foreign_cores,
        tries: 1,
    })
}

/// The samples of one server in one test.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub test: Test,
    /// Of which server.
    pub server: Kind,
    /// One sample of each round.
    pub samples: Vec<Sample>,
}

impl Row {
    /// The median over the rounds of what `of` reads; 0 without samples.
    #[must_use]
    pub fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        let mut values: Vec<f64> = self.samples.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match (values.get(middle.wrapping_sub(1)), values.get(middle)) {
            (Some(below), Some(above)) if values.len().is_multiple_of(2) => f64::midpoint(*below, *above),
            (_, Some(middle)) => *middle,
            (_, None) => 0.0,
        }
    }
}

/// Measures every server in every round of a test.
///
/// # Errors
/// As `Bench::measure`.
pub fn interleaved(bench: &Bench, servers: &[&Server], test: Test, rounds: u32) -> Result<Vec<Row>, DriverError> {
    let row = |server: &&Server| Row { test, server: server.kind, samples: Vec::new() };
    let mut rows: Vec<Row> = servers.iter().map(row).collect();
    for _ in 0..rounds {
        for (server, row) in servers.iter().zip(&mut rows) {
            row.samples.push(bench.measure(server, test)?);
        }
    }
    Ok(rows)
}

/// More than this beside server and generator makes a measurement worth repeating.
pub const FOREIGN_LIMIT: f64 = 0.2;
/// How often one is made at most.
const TRIES: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn row(rates: &[f64]) -> Row {
        let sample = |rate: &f64| Sample {
            rate: *rate,
            cpu_us: 0.0,
            p50_us: 0.0,
            p99_us: 0.0,
            errors: 0,
            unsent: 0,
            client_cores: 0.0,
            foreign_cores: 0.0,
            tries: 1,
        };
        Row { test: Test::Saturated(8), server: Kind::Floor, samples: rates.iter().map(sample).collect() }
    }

    #[test]
    fn the_median_of_an_even_number_is_the_middle_of_two() {
        let median = |rates: &[f64]| row(rates).median(|sample| sample.rate);
        assert_eq!(median(&[9.0, 1.0, 4.0]), 4.0);
        assert_eq!(median(&[9.0, 1.0, 4.0, 6.0]), 5.0);
        assert_eq!(median(&[7.0]), 7.0);
        assert_eq!(median(&[]), 0.0);
    }
}
