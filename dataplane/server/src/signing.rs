//! Placeholder until the request path brings its own.
/// Placeholder.
#[derive(Debug, Default)]
pub struct SigningKeys;
impl SigningKeys {
    /// Placeholder.
    pub fn purge(&self, _dropped: &[holdfast_proto::ids::CredentialId]) {}
}
