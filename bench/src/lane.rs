//! One worker's way to one target: signer, connection, request buffer.
//!
//! Holds: a connection that failed, or that its server closes, is never used again.

use std::time::{Duration, Instant, SystemTime};

use crate::connection::{Connection, ConnectionError};
use crate::plan::{Connections, Operation};
use crate::signer::{CONTENT_TYPE, Signer};
use crate::target::Target;
use crate::worker::Primed;

/// A lane; its target is its own copy.
#[derive(Debug)]
pub(crate) struct Lane {
    target: Target,
    authority: String,
    paths: [(Operation, String); 4],
    signer: Signer,
    connection: Option<Connection>,
    request: Vec<u8>,
    pub(crate) primed: Option<Primed>,
}

/// An answer, whose body is `Lane::body`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// How long connecting and shaking hands took, where it was done for this request.
    pub(crate) handshake: Option<Duration>,
}

impl Lane {
    pub(crate) fn new(target: &Target) -> Self {
        Self {
            authority: target.authority(),
            paths: Operation::ALL.map(|operation| (operation, operation.path(target))),
            signer: Signer::new(target),
            connection: None,
            request: Vec::with_capacity(2_048),
            primed: None,
            target: target.clone(),
        }
    }

    /// Opens a connection if there is none.
    pub(crate) async fn connect(&mut self, patience: Duration) -> Result<(), ConnectionError> {
        if self.connection.is_none() {
            self.connection = Some(Connection::open(&self.target, patience).await?);
        }
        Ok(())
    }

    /// Sends one request, freshly signed, and reads its answer.
    pub(crate) async fn exchange(
        &mut self,
        operation: Operation,
        body: &[u8],
        reuse: Connections,
        patience: Duration,
    ) -> Result<Answer, ConnectionError> {
        let begun = Instant::now();
        let stale = |c: &mut Connection| reuse == Connections::Fresh || !c.keeps();
        if let Some(connection) = self.connection.take_if(stale) {
            connection.reset();
        }
        let opens = self.connection.is_none();
        self.connect(patience).await?;
        let handshake = opens.then(|| begun.elapsed());
        self.write(operation, body);
        let Some(connection) = &mut self.connection else {
            return Err(ConnectionError::Malformed);
        };
        let answered = connection.exchange(&self.request, patience).await;
        if answered.is_err() {
            self.connection = None;
        }
        let status = answered?;
        Ok(Answer { status, handshake })
    }

    /// The body of the last answer; empty when there was none.
    pub(crate) fn body(&self) -> &[u8] {
        self.connection.as_ref().map_or(&[], Connection::body)
    }

    /// Puts the whole request into the buffer, so that it leaves in one TLS record.
    fn write(&mut self, operation: Operation, body: &[u8]) {
        let found = self.paths.iter().find(|(of, _)| *of == operation);
        let path = found.map_or("/", |(_, path)| path.as_str());
        let signed = self.signer.sign(path, body, SystemTime::now());
        self.request.clear();
        for part in [
            "POST ",
            path,
            " HTTP/1.1\r\nhost: ",
            &self.authority,
            "\r\ncontent-type: ",
            CONTENT_TYPE,
            "\r\nx-amz-date: ",
            signed.date,
            "\r\nauthorization: ",
            signed.authorization,
            "\r\ncontent-length: ",
            &body.len().to_string(),
            "\r\n\r\n",
        ] {
            self.request.extend_from_slice(part.as_bytes());
        }
        self.request.extend_from_slice(body);
    }
}
