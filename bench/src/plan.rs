//! What a load run is to do. A plan is only values; `load::run` carries it out.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::target::Target;

/// One load run.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    /// Where requests go, in turn. At least one.
    pub targets: Vec<Target>,
    /// Which operations are called.
    pub workload: Workload,
    /// How plaintext, AAD and CDIV look.
    pub shape: Shape,
    /// When requests are sent.
    pub pace: Pace,
    /// How many requests may be out at once; each has a connection to every target.
    pub connections: usize,
    /// Whether connections are kept.
    pub reuse: Connections,
    /// What is checked beyond status 200.
    pub check: Check,
    /// Requests due in this time are sent but their latency is not recorded.
    pub warmup: Duration,
    /// When the run is over, warm-up not included.
    pub end: End,
    /// What becomes of requests during which the machine stood still.
    pub stalled: Stalled,
    /// How long an answer may take before it is counted as late and its connection dropped.
    pub patience: Duration,
    /// Ends the run before its time.
    pub stop: CancellationToken,
}

impl LoadPlan {
    /// Encrypt with AAD and CDIV on eight kept connections in a closed loop, until the token `stop` ends it.
    #[must_use]
    pub fn new(targets: Vec<Target>) -> Self {
        Self {
            targets,
            workload: Workload::Only(Operation::Encrypt),
            shape: Shape::default(),
            pace: Pace::Closed,
            connections: 8,
            reuse: Connections::Kept,
            check: Check::Answer,
            warmup: Duration::ZERO,
            end: End::Stopped,
            stalled: Stalled::Counted,
            patience: Duration::from_secs(5),
            stop: CancellationToken::new(),
        }
    }
}

/// The four calls of the XKS proxy API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// `Encrypt`.
    Encrypt,
    /// `Decrypt`.
    Decrypt,
    /// `GetKeyMetadata`.
    Metadata,
    /// `GetHealthStatus`.
    Health,
}

impl Operation {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 4] = [Self::Encrypt, Self::Decrypt, Self::Metadata, Self::Health];

    /// The name in flags and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
            Self::Metadata => "metadata",
            Self::Health => "health",
        }
    }

    /// The path of this operation on a target.
    pub(crate) fn path(self, target: &Target) -> String {
        let prefix = target.prefix();
        match self {
            Self::Health => format!("{prefix}/health"),
            Self::Encrypt | Self::Decrypt | Self::Metadata => {
                format!("{prefix}/keys/{}/{}", target.key_id(), self.as_str())
            }
        }
    }
}

/// Which operations a run calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// One of them. Decrypt opens what one Encrypt at the start gave.
    Only(Operation),
    /// Of twenty requests nine are Encrypt, nine Decrypt, one GetKeyMetadata and one GetHealthStatus.
    Mix,
}

impl Workload {
    /// The operation of the request with this number.
    pub(crate) const fn pick(self, number: u64) -> Operation {
        match self {
            Self::Only(operation) => operation,
            Self::Mix => match number % 20 {
                18 => Operation::Metadata,
                19 => Operation::Health,
                n if n % 2 == 0 => Operation::Encrypt,
                _ => Operation::Decrypt,
            },
        }
    }

    /// Whether something must be encrypted before the run can start.
    pub(crate) const fn decrypts(self) -> bool {
        matches!(self, Self::Mix | Self::Only(Operation::Decrypt))
    }
}

/// Sizes and options of Encrypt.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Plaintext, in bytes.
    pub plaintext: usize,
    /// `additionalAuthenticatedData`, in bytes; 0 leaves it out.
    pub aad: usize,
    /// Whether a `ciphertextDataIntegrityValue` is asked for.
    pub cdiv: bool,
}

impl Default for Shape {
    /// A data key, an encryption context of the usual size, and CDIV.
    fn default() -> Self {
        Self { plaintext: 32, aad: 40, cdiv: true }
    }
}

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// On a fixed schedule whatever the answers do; latency counts from the scheduled time, so that a
    /// server that stalls cannot hide it by keeping the generator waiting (coordinated omission).
    Open {
        /// Requests per second over all connections.
        rate: NonZeroU32,
    },
    /// Each connection sends its next request when it has its answer: for saturation only.
    Closed,
    /// As `Closed`, with a pause before each request: a load that gives way when the machine has other work. For tests of what is
    /// answered; it hides stalls from latency, as every closed loop does.
    Think {
        /// From an answer to the next request on the same connection.
        pause: Duration,
    },
}

/// What becomes of a request during which a thread of the generator that does nothing was kept from running for more than 40 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stalled {
    /// It counts as any other: what a client of this machine would see.
    Counted,
    /// Its latency and its failure are kept apart, as `LoadReport::disturbed`; a wrong answer counts all the same.
    Apart,
}

/// Whether connections are kept between requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// One per worker and target, reopened only when lost.
    Kept,
    /// Each request opens its own with a whole TLS handshake, and latency counts from before that.
    Fresh,
}

/// What is checked beyond status 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Nothing.
    Answer,
    /// Each Encrypt's CDIV is computed anew, and its answer is decrypted on the same target and compared.
    RoundTrip,
    /// As `RoundTrip`, but decrypted on the next target.
    CrossNode,
}

/// When a run is over.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// After this time.
    After(Duration),
    /// After this many requests.
    Requests(u64),
    /// When the plan's token says so.
    Stopped,
}
