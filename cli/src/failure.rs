//! Why a command failed, as the lines that a person reads or as JSON. `main` prints them once; the kind is the exit code.

use std::{error::Error, fmt, io, path::Path};

use serde_json::json;
use tonic::{Code, Status};

/// One fault a line.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    kind: Kind,
    as_json: bool,
}

/// What a script may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Whatever has no kind of its own.
    Failed,
    /// Malformed, or out of range.
    Usage,
    /// No such thing.
    NotFound,
    /// No session, or one that has ended.
    SignIn,
    /// The caller's roles don't allow it.
    Forbidden,
    /// A name is taken, a race was lost, or its state does not allow that.
    Refused,
    /// The control plane, or what it needs, can't be reached now.
    Unreachable,
}

impl Failure {
    /// One line, or a line for each of several faults.
    pub(crate) fn new(line: impl Into<String>) -> Self {
        Self::of(Kind::Failed, line)
    }

    /// As [`Failure::new`], of a kind.
    pub(crate) fn of(kind: Kind, line: impl Into<String>) -> Self {
        Self { text: line.into(), kind, as_json: false }
    }

    /// An error with its chain of causes.
    pub(crate) fn from_error(error: impl Error) -> Self {
        Self::new(chain(&error))
    }

    /// Several errors, a line each.
    pub(crate) fn from_errors<'e, E: Error + 'e>(errors: impl IntoIterator<Item = &'e E>) -> Self {
        Self::new(errors.into_iter().map(|error| chain(error)).collect::<Vec<_>>().join("\n"))
    }

    /// A file that could not be read, written, or made.
    pub(crate) fn file(what: &str, file: &Path, cause: &io::Error) -> Self {
        Self::new(format!("cannot {what} {}: {cause}", file.display()))
    }

    /// The same, to be printed for programs.
    pub(crate) fn in_json(self, as_json: bool) -> Self {
        Self { as_json, ..self }
    }

    /// With what more there is to say.
    pub(crate) fn and(mut self, more: &str) -> Self {
        self.text = format!("{}; {more}", self.text);
        self
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }
}

impl Kind {
    /// The exit code, and the word in JSON.
    const fn row(self) -> (i32, &'static str) {
        match self {
            Self::Failed => (1, "failed"),
            Self::Usage => (2, "invalid"),
            Self::NotFound => (3, "not-found"),
            Self::SignIn => (4, "sign-in"),
            Self::Forbidden => (4, "forbidden"),
            Self::Refused => (5, "refused"),
            Self::Unreachable => (6, "unreachable"),
        }
    }

    pub(crate) const fn exit_code(self) -> i32 {
        self.row().0
    }

    const fn of_code(code: Code) -> Self {
        match code {
            Code::InvalidArgument | Code::OutOfRange => Self::Usage,
            Code::NotFound => Self::NotFound,
            Code::Unauthenticated => Self::SignIn,
            Code::PermissionDenied => Self::Forbidden,
            Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition | Code::ResourceExhausted => Self::Refused,
            Code::Unavailable | Code::DeadlineExceeded => Self::Unreachable,
            Code::Ok | Code::Cancelled | Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => Self::Failed,
        }
    }
}

impl From<Status> for Failure {
    /// The control plane's own words.
    fn from(status: Status) -> Self {
        let text = match status.message() {
            "" => format!("the control plane answered {:?}", status.code()),
            words => words.to_owned(),
        };
        // A broken connection says what broke only in its causes.
        let text = match status.source() {
            Some(cause) => format!("{text}: {}", chain(cause)),
            None => text,
        };
        Self::of(Kind::of_code(status.code()), text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.as_json {
            let (_, code) = self.kind.row();
            return write!(f, "{}", json!({ "error": { "code": code, "message": self.text } }));
        }
        for (nth, line) in self.text.lines().enumerate() {
            let separator = if nth == 0 { "" } else { "\n" };
            write!(f, "{separator}holdfast: {line}")?;
        }
        Ok(())
    }
}

/// The exit codes, for `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  bad arguments, here or by the control plane's judgement
  3  no such thing
  4  not signed in, or not allowed
  5  refused: a name is taken, a race was lost, or its state does not allow that
  6  the control plane, or a data plane that it needs, can't be reached";

/// `error: cause: its cause`.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
