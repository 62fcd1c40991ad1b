//! The two suites: local keys, and keys on PKCS#11 tokens.
//!
//! Holds: servers that are compared run beside each other and are measured in turn; a suite's servers have ended when
//! it has.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use super::DriverError;
use super::process::Server;
use super::series::{Bench, Row, Test, interleaved};
use super::table::Section;
use super::token::Token;
use super::verdict::{PACED, SATURATED, hsm, local};

/// What is started.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `holdfast`.
    pub holdfast: PathBuf,
    /// `holdfast-floor`.
    pub floor: PathBuf,
    /// SoftHSM's shared library.
    pub softhsm: PathBuf,
    /// The simulator's.
    pub simulator: PathBuf,
}

/// How suites are run.
#[derive(Debug)]
pub struct Suites<'b> {
    /// Makes the measurements.
    pub bench: &'b Bench,
    /// Where programs and modules are.
    pub programs: &'b Programs,
    /// Another XKS proxy.
    pub peer: Option<&'b Server>,
    /// Interleaved rounds.
    pub rounds: u32,
}

impl Suites<'_> {
    /// Holdfast with a local key beside the floor and the peer.
    ///
    /// # Errors
    /// When a server does not start or cannot be measured.
    pub fn local(&self) -> Result<Section, DriverError> {
        let floor = Server::floor(&self.programs.floor)?;
        let holdfast = Server::holdfast(&self.programs.holdfast)?;
        let servers: Vec<&Server> = [&floor, &holdfast].into_iter().chain(self.peer).collect();
        let tests = SATURATED.map(Test::Saturated).into_iter().chain([Test::Paced(PACED)]);
        let rows = self.measure(&servers, tests.chain(local::FRESH.map(Test::Fresh)))?;
        Ok(Section { keys: "local", verdicts: local::judge(&rows), rows })
    }

    /// Holdfast with a key on SoftHSM beside the peer; then with one on a token that takes [`WAIT`] for each call, beside
    /// a floor that sleeps as long. Each with the module in Holdfast's process and in one of its own.
    ///
    /// # Errors
    /// As [`Self::local`], and when a token cannot be made.
    pub fn hsm(&self) -> Result<Section, DriverError> {
        let tests = SATURATED.map(Test::Saturated).into_iter().chain([Test::Paced(PACED)]);
        let mut rows = self.on_softhsm(tests)?;
        rows.extend(self.waiting()?);
        Ok(Section { keys: "PKCS#11", verdicts: hsm::judge(&rows), rows })
    }

    fn on_softhsm(&self, tests: impl Iterator<Item = Test>) -> Result<Vec<Row>, DriverError> {
        let token = Token::SoftHsm { module: self.programs.softhsm.clone() };
        let [holdfast, isolated] = self.both(&token, None)?;
        let servers: Vec<&Server> = [&holdfast, &isolated].into_iter().chain(self.peer).collect();
        self.measure(&servers, tests)
    }

    fn waiting(&self) -> Result<Vec<Row>, DriverError> {
        let token = Token::Simulator { module: self.programs.simulator.clone(), latency: WAIT };
        let floor = Server::sleeping_floor(&self.programs.floor, WAIT, hsm::WAITING)?;
        let [holdfast, isolated] = self.both(&token, Some(hsm::WAITING))?;
        self.measure(&[&floor, &holdfast, &isolated], [Test::Waiting(hsm::WAITING)].into_iter())
    }

    /// Holdfast in one process and in two, each on a token of its own.
    fn both(&self, token: &Token, sessions: Option<u32>) -> Result<[Server; 2], DriverError> {
        let holdfast = Server::on_token(&self.programs.holdfast, token, sessions, false)?;
        let isolated = Server::on_token(&self.programs.holdfast, token, sessions, true)?;
        Ok([holdfast, isolated])
    }

    fn measure(&self, servers: &[&Server], tests: impl Iterator<Item = Test>) -> Result<Vec<Row>, DriverError> {
        for server in servers {
            self.bench.await_ready(server)?;
        }
        let mut rows = Vec::new();
        for test in tests {
            writeln!(io::stderr(), "{}: {} rounds of {} s", test.name(), self.rounds, self.bench.length.as_secs())?;
            rows.extend(interleaved(self.bench, servers, test, self.rounds)?);
        }
        Ok(rows)
    }
}

/// What a call takes in the test of waiting servers.
pub const WAIT: Duration = Duration::from_millis(10);
