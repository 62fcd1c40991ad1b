//! Calls that AWS can't tell from one another when they come again.
//!
//! Always holds: each is sent once, and again only where AWS throttled it, so that it did nothing: what AWS refuses then was not done by an
//! earlier try whose answer was lost.

use std::time::Duration;

use aws_sdk_kms::config::{Builder, Config, retry::RetryConfig};

use super::{AwsError, AwsFault};

/// The override of a client's configuration by which a call is sent once.
pub fn once() -> Builder {
    Config::builder().retry_config(RetryConfig::disabled())
}

/// Asks until AWS does not throttle, for some seconds.
///
/// # Errors
/// Those of `ask`.
pub async fn unless_throttled<T, F>(ask: impl Fn() -> F + Send + Sync) -> Result<T, AwsError>
where
    T: Send,
    F: Future<Output = Result<T, AwsError>> + Send,
{
    let mut pause = FIRST_PAUSE;
    for _ in 1..TRIES {
        match ask().await {
            Err(error) if error.fault == AwsFault::Throttled => tokio::time::sleep(pause).await,
            answered => return answered,
        }
        pause *= 2;
    }
    ask().await
}

const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn failed(fault: AwsFault) -> AwsError {
        AwsError { call: "KMS CreateKey", fault, code: None, message: String::new(), request_id: None }
    }

    #[tokio::test]
    async fn what_is_throttled_is_sent_again_and_nothing_else_is() {
        for (first, sent) in [(None, 1), (Some(AwsFault::Throttled), 3), (Some(AwsFault::Refused), 1), (Some(AwsFault::Unreached), 1)] {
            let asked = AtomicU32::new(0);
            let ask = || {
                let again = asked.fetch_add(1, Ordering::Relaxed) >= 2;
                async move { first.filter(|_| !again).map_or(Ok(()), |fault| Err(failed(fault))) }
            };
            let answered = unless_throttled(ask).await;
            assert_eq!((asked.load(Ordering::Relaxed), answered.is_ok()), (sent, sent == 3 || first.is_none()), "{first:?}");
        }
    }
}
