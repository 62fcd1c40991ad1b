//! What a run found: the machine's form (JSON) and the person's (a table).
//!
//! Holds: `passed + failed` is the number of cases listed. A case that could not be asked of this proxy is
//! in none of the three; it stands in `left_out`, which people see and the JSON does not carry.

use std::fmt::Write as _;

use serde::Serialize;

/// The outcome of one run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// How many cases passed.
    pub passed: usize,
    /// How many cases failed.
    pub failed: usize,
    /// Each case that was asked, in the order of asking.
    pub cases: Vec<Case>,
    /// Cases that were not asked, since a fact that they need is not known or not so.
    #[serde(skip)]
    pub left_out: Vec<LeftOut>,
}

/// One case that was asked.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// Its stable, dotted name.
    pub name: String,
    /// Whether the proxy did as it must.
    pub ok: bool,
    /// For a failure: what was expected and what came, on one line. Empty for most that passed.
    pub detail: String,
}

/// One case that was not asked.
#[derive(Clone, Debug)]
pub struct LeftOut {
    /// Its stable, dotted name.
    pub name: String,
    /// What it would have needed.
    pub reason: String,
}

impl Report {
    /// Adds a case that was asked.
    pub(crate) fn push(&mut self, case: Case) {
        if case.ok {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
        self.cases.push(case);
    }

    /// A table for people: every case, then what was left out, then the sums.
    #[must_use]
    pub fn table(&self) -> String {
        let width = self.cases.iter().map(|c| c.name.len()).max().unwrap_or(0);
        let mut out = String::new();
        for case in &self.cases {
            let mark = if case.ok { "ok  " } else { "FAIL" };
            let line = format!("{mark}  {:width$}  {}", case.name, case.detail);
            out.push_str(line.trim_end());
            out.push('\n');
        }
        // Writing to a String can't fail.
        for LeftOut { name, reason } in &self.left_out {
            let _ = writeln!(out, "not asked: {name} ({reason})");
        }
        let _ = writeln!(out, "{} passed, {} failed", self.passed, self.failed);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        for (name, ok, detail) in [("a.good", true, ""), ("b.bad.one", false, "expected 200, got 500")] {
            report.push(Case { name: name.into(), ok, detail: detail.into() });
        }
        report.left_out.push(LeftOut { name: "c.none".into(), reason: "no blocked_key_id".into() });
        report
    }

    #[test]
    fn the_json_has_exactly_the_agreed_members() {
        assert_eq!(
            serde_json::to_value(report()).unwrap(),
            serde_json::json!({
                "passed": 1, "failed": 1,
                "cases": [
                    {"name": "a.good", "ok": true, "detail": ""},
                    {"name": "b.bad.one", "ok": false, "detail": "expected 200, got 500"}
                ]
            })
        );
    }

    #[test]
    fn the_table_names_what_was_not_asked_and_counts_only_what_was() {
        assert_eq!(
            report().table(),
            "ok    a.good\nFAIL  b.bad.one  expected 200, got 500\n\
             not asked: c.none (no blocked_key_id)\n1 passed, 1 failed\n"
        );
    }
}
