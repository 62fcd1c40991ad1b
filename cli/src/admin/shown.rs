//! How answers are shown: tables and lines for people, the API's messages as JSON for programs.

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{failure::Failure, output};

/// Whom an answer is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Out {
    json: bool,
}

impl Out {
    pub(super) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Several things: a row each under a head, or an array.
    pub(super) fn list<T: Serialize, const N: usize>(
        self,
        all: &[T],
        head: [&str; N],
        row: impl Fn(&T) -> [String; N],
    ) -> Result<(), Failure> {
        if self.json {
            output::line(&output::json(all)?)?;
            return Ok(());
        }
        let mut rows = vec![head.map(ToOwned::to_owned)];
        rows.extend(all.iter().map(row));
        output::line(&output::table(&rows))?;
        Ok(())
    }

    /// One thing: a line for each of its facts, or an object.
    pub(super) fn one<T: Serialize, const N: usize>(self, thing: &T, facts: [(&str, String); N]) -> Result<(), Failure> {
        if self.json {
            output::line(&output::json(thing)?)?;
        } else {
            let told = facts.into_iter().filter(|(_, fact)| !fact.is_empty());
            output::line(&output::table(&told.map(|(name, fact)| [name.to_owned(), fact]).collect::<Vec<_>>()))?;
        }
        Ok(())
    }

    /// What was done: a sentence, or the answer.
    pub(super) fn done<T: Serialize>(self, answer: &T, sentence: &str) -> Result<(), Failure> {
        output::line(&if self.json { output::json(answer)? } else { sentence.to_owned() })?;
        Ok(())
    }

    pub(super) const fn is_json(self) -> bool {
        self.json
    }
}

/// Nodes that go on as before, for now.
pub(super) fn warn_of_pending(nodes: &[String]) {
    if !nodes.is_empty() {
        output::warning(&format!("not yet applied by: {}; each does so as soon as it is reached", nodes.join(", ")));
    }
}

/// A moment; nothing where there was none.
pub(super) fn moment(ms: u64) -> String {
    if ms == 0 {
        return String::new();
    }
    let seconds = i64::try_from(ms / 1000).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    seconds.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| ms.to_string())
}

/// A moment that may not have come yet.
pub(super) fn moment_or(ms: u64, none: &str) -> String {
    if ms == 0 { none.to_owned() } else { moment(ms) }
}

/// A number for which 0 stands for something else.
pub(super) fn number_or(number: impl Into<u64>, none: &str) -> String {
    match number.into() {
        0 => none.to_owned(),
        number => number.to_string(),
    }
}

pub(super) fn yes_or_no(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_in_utc_to_the_second() {
        assert_eq!(moment(1_700_000_000_999), "2023-11-14T22:13:20Z");
        assert_eq!(moment_or(0, "never"), "never");
    }
}
