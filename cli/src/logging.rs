//! Where log lines go: standard error, as text for people or JSON for machines.

use std::io;

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Format {
    /// The word on a command line.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// How much is logged, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogSettings {
    pub(crate) format: Format,
    /// `error` to `trace`; none: `info`. The environment variable `HOLDFAST_LOG` goes before it.
    pub(crate) level: Option<&'static str>,
}

/// Levels that a configuration file may name.
pub(crate) const LEVELS: [(&str, &str); 5] =
    [("error", "error"), ("warn", "warn"), ("info", "info"), ("debug", "debug"), ("trace", "trace")];

/// Installs the process's one subscriber.
pub(crate) fn install(settings: &LogSettings) {
    let level = settings.level.unwrap_or("info");
    let filter = EnvFilter::try_from_env("HOLDFAST_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // A second install fails only where a subscriber is there already, which is as good.
    let _ = match settings.format {
        Format::Text => lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
}
