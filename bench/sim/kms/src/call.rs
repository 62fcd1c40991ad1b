//! One authenticated call, as the operations see it.
//!
//! Always holds: only [`crate::serve`] makes one, after the signature was verified; `region` is that of the signature's scope.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    error::{AwsException, ErrorName},
    shared::Shared,
    sigv4::Caller,
    state::Region,
};

/// One authenticated call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) shared: Arc<Shared>,
    /// As AWS names it: `CreateKey`.
    pub(crate) operation: String,
    pub(crate) region: String,
    pub(crate) caller: Caller,
    pub(crate) request_id: Uuid,
}

impl Call {
    /// The members that an operation takes; unknown ones are ignored, as AWS does.
    ///
    /// Give required members the type `Option` and take them by [`required`], so that the error is AWS's.
    ///
    /// # Errors
    /// `SerializationException`: a member has the wrong type. `ValidationException`: it is not one of the values that AWS knows.
    pub(crate) fn input<T: DeserializeOwned>(&self, body: &Value) -> Result<T, AwsException> {
        T::deserialize(body).map_err(|error| {
            let text = error.to_string();
            not_in_set(&text).map_or_else(|| AwsException::new(ErrorName::Serialization, text), AwsException::invalid)
        })
    }

    /// Reads the call's region.
    pub(crate) fn look<T>(&self, reader: impl FnOnce(&Region) -> T) -> T {
        self.shared.look(|state| match state.regions.get(&self.region) {
            Some(region) => reader(region),
            None => reader(&Region::default()),
        })
    }

    /// Changes the call's region: all checks before the first change. See [`Shared::change`], which reaches every region.
    ///
    /// # Errors
    /// What `change` fails with.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Region) -> Result<T, AwsException>) -> Result<T, AwsException> {
        self.shared.change(|state| change(state.region(&self.region)))
    }

    /// Milliseconds since 1970 on the simulator's clock.
    pub(crate) fn now_ms(&self) -> i64 {
        self.shared.clock.now_ms()
    }

    /// The account, 12 digits.
    pub(crate) fn account(&self) -> &str {
        &self.shared.settings.account_id
    }

    /// An ARN of KMS in the call's region; `resource` is `key/…` or `alias/…`.
    pub(crate) fn arn(&self, resource: &str) -> String {
        format!("arn:aws:kms:{}:{}:{resource}", self.region, self.account())
    }
}

/// A member that must be there; empty text counts as there.
///
/// # Errors
/// `ValidationException` naming the member (as AWS writes it there: `keyId`).
pub(crate) fn required<T>(value: Option<T>, member: &str) -> Result<T, AwsException> {
    value.ok_or_else(|| AwsException::missing(member))
}

/// What is said of a value that is none of an enumeration: it has the right type, but is not valid.
fn not_in_set(text: &str) -> Option<String> {
    let (value, known) = text.strip_prefix("unknown variant ")?.split_once(", expected ")?;
    let (value, known) = (value.trim_matches('`'), known.trim_start_matches("one of ").replace('`', ""));
    Some(format!(
        "1 validation error detected: Value '{value}' failed to satisfy constraint: Member must satisfy enum value set: [{known}]"
    ))
}
