//! How well each member of a group serves a key.

/// A member of a group, as health answers tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberHealth {
    /// The partition's id: the configured one, else UUIDv5 of manufacturer and serial number; its name while neither is known.
    pub id: String,
    /// Model, firmware and serial number.
    pub model: String,
    /// How it is.
    pub state: HealthState,
}

/// XKS proxy API specification, GetHealthStatus, `healthStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthState {
    /// Up, with the sessions that it was asked for, and its last check, not older than a minute, was fine.
    Active,
    /// Suspect, or up with less than that.
    Degraded,
    /// The rest.
    Unavailable,
}
