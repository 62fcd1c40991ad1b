//! What the two processes of an isolated partition say to each other, and how it lies on the socket: a length (u32, little endian),
//! then that many bytes of postcard.
//!
//! Holds: no frame is longer than [`MOST`], whoever wrote it; what can't be read ends the connection, never the process that reads;
//! buffers hold plaintext, so they never grow (a grown one leaves a copy behind) and are wiped as they are used up.

use std::{
    io::{self, Read, Write},
    ops::Range,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroize as _;

use crate::pkcs11::{
    Pkcs11Fault,
    handles::KeyName,
    job::{Outcome, Proof, Work, shared},
    settings::PartitionSettings,
    status::{Condition, KeyAttributes, TokenFacts, TokenTask, TokenTaskDone, TokenTaskError},
};

/// From the parent.
#[derive(Serialize, Deserialize)]
pub(super) enum ToChild {
    /// The first frame, once.
    Open(Box<Opening>),
    /// A job for a session.
    Do(Box<Do>),
    /// Work on the token beside requests.
    Task(u64, TokenTask),
    /// A call is overdue. The number is of this mark: reports that carry it were made later.
    Overdue(u64),
    /// End: sessions are closed first.
    Stop,
}

/// What the child is.
#[derive(Serialize, Deserialize)]
pub(super) struct Opening {
    pub(super) settings: PartitionSettings,
    pub(super) state_dir: PathBuf,
    /// An earlier process was the partition: nothing that is wrong is told as a reason not to start.
    pub(super) is_resumed: bool,
}

/// A job, as it crosses.
#[derive(Serialize, Deserialize)]
pub(super) struct Do {
    pub(super) id: JobId,
    /// The child's generation that the parent takes it to be in; in any other the job is not done.
    pub(super) generation: u64,
    pub(super) key: KeyName,
    pub(super) proof: Option<Proof>,
    #[serde(with = "shared")]
    pub(super) work: Arc<Work>,
    /// Until whoever waits stops waiting: the clocks of two processes are not compared.
    pub(super) left: Duration,
}

/// A job under way: its place in the parent, and which of the jobs that had the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct JobId {
    pub(super) place: u32,
    pub(super) turn: u32,
}

/// From the child.
#[derive(Serialize, Deserialize)]
pub(super) enum ToParent {
    /// The partition was started, or can't be. Once.
    Opened(Result<Report, Vec<Pkcs11Fault>>),
    /// On each change, and as a sign of life.
    Report(Report),
    /// What came of a job.
    Outcome(JobId, Outcome),
    /// A part of a task's list of keys; the rest comes with its end.
    Keys(u64, Vec<KeyAttributes>),
    /// The end of a task.
    TaskDone(u64, Result<TokenTaskDone, TokenTaskError>),
}

/// The partition in the child at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    /// The last [`ToChild::Overdue`] that it knew of before it looked at the rest.
    pub(super) mark: u64,
    pub(super) condition: Condition,
    pub(super) facts: Option<TokenFacts>,
    pub(super) generation: u64,
    pub(super) sessions: u32,
    pub(super) leaked: u32,
}

/// Frames on their way out, several in one write.
pub(super) struct Outbox {
    /// Zero, but for the frames.
    buffer: Vec<u8>,
    used: usize,
}

/// A frame can't be sent: it is longer than [`MOST`], or holds a path that is no text.
#[derive(Debug, thiserror::Error)]
#[error("a frame can't be written")]
pub(super) struct Unfit(#[source] postcard::Error);

/// Frames on their way in.
pub(super) struct Inbox {
    /// Zero, but for what is unread.
    buffer: Vec<u8>,
    unread: Range<usize>,
}

/// No more frames will come.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The other process has ended, or is ending.
    #[error("the connection was closed")]
    Closed,
    /// Nothing came for as long as the socket's read timeout.
    #[error("nothing was heard for too long")]
    Silent,
    /// A frame of that length, which is longer than [`MOST`].
    #[error("a frame of {0} bytes is too long")]
    TooLong(usize),
    /// A frame that says nothing known.
    #[error("a frame can't be read")]
    Malformed(#[source] postcard::Error),
    /// The socket failed.
    #[error("the connection failed")]
    Failed(#[source] io::Error),
}

impl Outbox {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; BATCH + PREFIX + MOST], used: 0 }
    }

    /// Another frame may be added before what is here is sent.
    pub(super) const fn has_room(&self) -> bool {
        self.used < BATCH
    }

    /// Adds a frame. Of one that is unfit nothing stays.
    pub(super) fn add(&mut self, frame: &impl Serialize) -> Result<(), Unfit> {
        let full = || Unfit(postcard::Error::SerializeBufferFull);
        let (prefix, rest) = self.buffer.get_mut(self.used..).and_then(|b| b.split_first_chunk_mut::<PREFIX>()).ok_or_else(full)?;
        let room = rest.get_mut(..MOST).ok_or_else(full)?;
        let written = postcard::to_slice(frame, room).map(|bytes| bytes.len());
        match written {
            Ok(length) => {
                *prefix = u32::try_from(length).map_err(|_| full())?.to_le_bytes();
                self.used += PREFIX + length;
                Ok(())
            }
            Err(cause) => {
                room.zeroize();
                Err(Unfit(cause))
            }
        }
    }

    /// Writes all of them, and is empty again whatever comes of it.
    pub(super) fn send(&mut self, to: &mut impl Write) -> io::Result<()> {
        let frames = self.buffer.get_mut(..self.used).unwrap_or_default();
        let sent = to.write_all(frames);
        frames.zeroize();
        self.used = 0;
        sent
    }
}

impl Inbox {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; PREFIX + MOST], unread: 0..0 }
    }

    /// The next frame, read from `from` when it is not here yet.
    pub(super) fn next<T: DeserializeOwned>(&mut self, from: &mut impl Read) -> Result<T, Broken> {
        loop {
            if let Some(frame) = self.whole()? {
                let bytes = self.buffer.get_mut(frame).unwrap_or_default();
                let read = postcard::take_from_bytes(bytes).and_then(|(value, rest)| match rest {
                    [] => Ok(value),
                    _ => Err(postcard::Error::DeserializeBadEncoding),
                });
                bytes.zeroize();
                return read.map_err(Broken::Malformed);
            }
            self.make_room();
            let room = self.buffer.get_mut(self.unread.end..).unwrap_or_default();
            match from.read(room) {
                Ok(0) => return Err(Broken::Closed),
                Ok(length) => self.unread.end += length,
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Err(Broken::Silent),
                    io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => return Err(Broken::Closed),
                    _ => return Err(Broken::Failed(error)),
                },
            }
        }
    }

    /// Where the next frame lies, if all of it is here; it counts as read then.
    fn whole(&mut self) -> Result<Option<Range<usize>>, Broken> {
        let unread = self.buffer.get(self.unread.clone()).unwrap_or_default();
        let Some((prefix, rest)) = unread.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let length = usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
        if length > MOST {
            return Err(Broken::TooLong(length));
        }
        if rest.len() < length {
            return Ok(None);
        }
        let start = self.unread.start + PREFIX;
        self.unread.start = start + length;
        Ok(Some(start..start + length))
    }

    /// Moves what is unread to the front, and wipes where it was.
    fn make_room(&mut self) {
        let Range { start, end } = self.unread;
        if start > 0 {
            self.buffer.copy_within(start..end, 0);
            self.unread = 0..end - start;
            self.buffer.get_mut(self.unread.end..end).unwrap_or_default().zeroize();
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.buffer.get_mut(..self.used).unwrap_or_default().zeroize();
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.buffer.get_mut(self.unread.clone()).unwrap_or_default().zeroize();
    }
}

/// Most bytes of a frame without its length.
pub(super) const MOST: usize = 1 << 20;

/// Bytes of the length.
const PREFIX: usize = 4;

/// What is sent at once, but for the last frame of it.
const BATCH: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pkcs11::job::{Decrypt, Encrypt, Fault};

    /// Gives its bytes in pieces of the given size.
    struct Pieces<'b>(&'b [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            let length = self.0.len().min(self.1).min(to.len());
            let (now, later) = self.0.split_at(length);
            to[..length].copy_from_slice(now);
            self.0 = later;
            Ok(length)
        }
    }

    fn job(plaintext: &[u8]) -> ToChild {
        ToChild::Do(Box::new(Do {
            id: JobId { place: 3, turn: 9 },
            generation: 2,
            key: KeyName { cka_id: vec![1, 2].into(), label: "a key".into() },
            proof: None,
            work: Arc::new(Work::Encrypt(Encrypt { aad: vec![7; 3], plaintext: plaintext.to_vec().into(), integrity: None })),
            left: Duration::from_millis(150),
        }))
    }

    fn bytes_of(frames: &[ToChild]) -> Vec<u8> {
        let (mut outbox, mut bytes) = (Outbox::new(), Vec::new());
        for frame in frames {
            outbox.add(frame).unwrap();
            if !outbox.has_room() {
                outbox.send(&mut bytes).unwrap();
            }
        }
        outbox.send(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn frames_come_out_as_they_went_in_however_the_socket_cuts_them() {
        let lengths = [0, 1, 4096, 70_000, 900_000, 5, 900_000];
        let bytes = bytes_of(&lengths.map(|length| job(&vec![0xA5; length])));
        for piece in [1 << 10, 65_536, usize::MAX] {
            let (mut inbox, mut from) = (Inbox::new(), Pieces(&bytes, piece));
            for length in lengths {
                let ToChild::Do(job) = inbox.next(&mut from).unwrap() else { panic!("another frame") };
                let Work::Encrypt(work) = &*job.work else { panic!("other work") };
                assert_eq!(*work.plaintext, vec![0xA5; length]);
                assert_eq!((job.id, job.key.label.as_str()), (JobId { place: 3, turn: 9 }, "a key"));
            }
            assert!(matches!(inbox.next::<ToChild>(&mut from), Err(Broken::Closed)));
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_not_sent_and_leaves_nothing_behind() {
        let (mut outbox, mut bytes) = (Outbox::new(), Vec::new());
        assert!(outbox.add(&job(&vec![0xA5; MOST])).is_err());
        assert!(outbox.buffer.iter().all(|byte| *byte == 0));
        outbox.add(&ToChild::Stop).unwrap();
        outbox.send(&mut bytes).unwrap();
        assert!(matches!(Inbox::new().next(&mut bytes.as_slice()), Ok(ToChild::Stop)));
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_anything_is_read() {
        let bytes = u32::MAX.to_le_bytes();
        assert!(matches!(Inbox::new().next::<ToChild>(&mut bytes.as_slice()), Err(Broken::TooLong(_))));
    }

    #[test]
    fn a_frame_with_bytes_left_over_is_malformed() {
        let mut bytes = bytes_of(&[ToChild::Stop]);
        bytes[0] += 1;
        bytes.push(0);
        assert!(matches!(Inbox::new().next::<ToChild>(&mut bytes.as_slice()), Err(Broken::Malformed(_))));
    }

    #[test]
    fn buffers_are_wiped_as_they_are_used_up() {
        let (mut outbox, mut bytes) = (Outbox::new(), Vec::new());
        outbox.add(&job(&[0xA5; 100])).unwrap();
        outbox.send(&mut bytes).unwrap();
        assert!(outbox.buffer.iter().all(|byte| *byte == 0));
        let mut inbox = Inbox::new();
        let read: ToChild = inbox.next(&mut bytes.as_slice()).unwrap();
        assert!(matches!(read, ToChild::Do(_)));
        assert!(!inbox.buffer.contains(&0xA5));
    }

    #[test]
    fn outcomes_cross_with_their_faults() {
        let fault = Fault::Token("gone".into());
        let (mut outbox, mut bytes) = (Outbox::new(), Vec::new());
        outbox.add(&ToParent::Outcome(JobId { place: 1, turn: 2 }, Err(fault.clone()))).unwrap();
        outbox.send(&mut bytes).unwrap();
        let ToParent::Outcome(id, outcome) = Inbox::new().next(&mut bytes.as_slice()).unwrap() else { panic!("another frame") };
        assert_eq!((id, outcome.unwrap_err()), (JobId { place: 1, turn: 2 }, fault));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut from = bytes.as_slice();
            let mut inbox = Inbox::new();
            while inbox.next::<ToChild>(&mut from).is_ok() {}
            let mut framed = u32::try_from(bytes.len()).unwrap().to_le_bytes().to_vec();
            framed.extend(&bytes);
            let _ = Inbox::new().next::<ToChild>(&mut framed.as_slice());
            let _ = Inbox::new().next::<ToParent>(&mut framed.as_slice());
        }

        #[test]
        fn a_decryption_crosses_unchanged(iv in proptest::collection::vec(any::<u8>(), 0..20), ciphertext: Vec<u8>, tag: [u8; 16]) {
            let work = Decrypt { iv: iv.clone(), aad: Vec::new(), ciphertext: ciphertext.clone(), tag };
            let bytes = postcard::to_stdvec(&Work::Decrypt(work)).unwrap();
            let Work::Decrypt(read) = postcard::from_bytes(&bytes).unwrap() else { panic!("other work") };
            prop_assert_eq!((read.iv, read.ciphertext, read.tag), (iv, ciphertext, tag));
        }
    }
}
