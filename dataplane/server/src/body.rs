//! Reads a request's body: under the cap, under the deadline, and without a copy or a timer when it is there already.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use holdfast_wire::{limits::MAX_BODY_BYTES, refusal::Refusal};
use http_body::Body;
use tokio::time::timeout_at;

use crate::deadline::Deadline;

/// Why there is no body. The connection must be closed: what follows on it is not a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFault {
    /// Over the cap.
    TooLarge,
    /// Not whole by the deadline.
    TimedOut,
    /// Ended early, or badly framed.
    Broken,
}

impl From<BodyFault> for Refusal {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::TooLarge => Self::BodyTooLarge,
            BodyFault::TimedOut => Self::BodyTimeout,
            BodyFault::Broken => Self::BodyIncomplete,
        }
    }
}

/// Reads `incoming` to its end.
pub(crate) async fn read<B>(mut incoming: B, deadline: Deadline) -> Result<Bytes, BodyFault>
where
    B: Body<Data = Bytes> + Unpin,
{
    if incoming.is_end_stream() {
        return Ok(Bytes::new());
    }
    let declared = incoming.size_hint().lower();
    if declared > to_u64(MAX_BODY_BYTES + MAX_DISCARDED) {
        return Err(BodyFault::TooLarge);
    }
    let mut gathered = Gathered::default();
    // Most often the whole body came with the head.
    if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(gathered.take(&mut incoming, cx))).await {
        return done;
    }
    let rest = poll_fn(|cx| gathered.take(&mut incoming, cx));
    match timeout_at(deadline.ends().into(), rest).await {
        Ok(done) => done,
        Err(_) if gathered.length > MAX_BODY_BYTES => Err(BodyFault::TooLarge),
        Err(_) => Err(BodyFault::TimedOut),
    }
}

/// What has come so far.
#[derive(Default)]
struct Gathered {
    first: Bytes,
    /// Holds everything as soon as there is a second piece.
    all: BytesMut,
    length: usize,
}

impl Gathered {
    /// Takes what is there, up to the end.
    fn take<B>(&mut self, incoming: &mut B, cx: &mut Context<'_>) -> Poll<Result<Bytes, BodyFault>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        loop {
            let Some(frame) = std::task::ready!(Pin::new(&mut *incoming).poll_frame(cx)) else {
                return Poll::Ready(self.finish());
            };
            let Ok(frame) = frame else { return Poll::Ready(Err(BodyFault::Broken)) };
            // Trailers are no part of the body.
            if let Ok(data) = frame.into_data() {
                self.push(data);
            }
            // Read on past the cap for a while: closing on a client that still writes would take our answer from it.
            if self.length > MAX_BODY_BYTES + MAX_DISCARDED {
                return Poll::Ready(Err(BodyFault::TooLarge));
            }
            if incoming.is_end_stream() {
                return Poll::Ready(self.finish());
            }
        }
    }

    fn push(&mut self, data: Bytes) {
        let before = self.length;
        self.length = before.saturating_add(data.len());
        if self.length > MAX_BODY_BYTES {
            // Too large: what came is of no use any more.
            self.first.clear();
            self.all.clear();
        } else if before == 0 {
            self.first = data;
        } else {
            if self.all.is_empty() {
                self.all.extend_from_slice(&std::mem::take(&mut self.first));
            }
            self.all.extend_from_slice(&data);
        }
    }

    fn finish(&mut self) -> Result<Bytes, BodyFault> {
        if self.length > MAX_BODY_BYTES {
            Err(BodyFault::TooLarge)
        } else if self.all.is_empty() {
            Ok(std::mem::take(&mut self.first))
        } else {
            Ok(std::mem::take(&mut self.all).freeze())
        }
    }
}

const fn to_u64(bytes: usize) -> u64 {
    // Lossless wherever this runs; the constants are small besides.
    bytes as u64
}

/// How much of a body over the cap is read and thrown away.
const MAX_DISCARDED: usize = 1_024 * 1_024;

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, convert::Infallible, time::Duration};

    use http_body::Frame;

    use super::*;

    /// Pieces, then the end, or nothing more for ever.
    struct Pieces {
        pieces: VecDeque<Bytes>,
        ends: bool,
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.pieces.pop_front() {
                Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
                None if self.ends => Poll::Ready(None),
                None => Poll::Pending,
            }
        }
    }

    async fn outcome(pieces: &[usize], ends: bool) -> Result<usize, BodyFault> {
        let pieces = pieces.iter().map(|&length| Bytes::from(vec![7; length])).collect();
        let read = read(Pieces { pieces, ends }, Deadline::start(Duration::from_millis(200))).await;
        read.inspect(|body| assert!(body.iter().all(|&byte| byte == 7))).map(|body| body.len())
    }

    #[tokio::test(start_paused = true)]
    async fn the_cap_is_on_the_sum_of_all_pieces() {
        assert_eq!(outcome(&[], true).await, Ok(0));
        assert_eq!(outcome(&[MAX_BODY_BYTES], true).await, Ok(MAX_BODY_BYTES));
        assert_eq!(outcome(&[1, MAX_BODY_BYTES - 2, 1], true).await, Ok(MAX_BODY_BYTES));
        assert_eq!(outcome(&[1, MAX_BODY_BYTES], true).await, Err(BodyFault::TooLarge));
        assert_eq!(outcome(&[MAX_BODY_BYTES + 1], true).await, Err(BodyFault::TooLarge));
        assert_eq!(outcome(&[MAX_BODY_BYTES, 1, MAX_DISCARDED], false).await, Err(BodyFault::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_coming_is_given_up_at_the_deadline() {
        assert_eq!(outcome(&[5], false).await, Err(BodyFault::TimedOut));
        assert_eq!(outcome(&[MAX_BODY_BYTES, 1], false).await, Err(BodyFault::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_in_one_piece_is_not_copied() {
        let piece = Bytes::from(vec![7; 100]);
        let pieces = Pieces { pieces: [piece.clone()].into(), ends: true };
        let body = read(pieces, Deadline::start(Duration::ZERO)).await.unwrap();
        assert_eq!(body.as_ptr(), piece.as_ptr());
    }
}
