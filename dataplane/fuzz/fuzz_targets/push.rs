//! Any push: undecodable, refused with nothing changed, or a set of records that can be told again.
//!
//! The input is a sequence of control messages, each after its length (u16, big-endian), as a node meets
//! them on its stream; chunks are applied as they come.

#![no_main]

use holdfast_proto::records::Change;
use holdfast_proto::snapshot::RecordSet;
use holdfast_proto::sync::{ControlMessage, control_message};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

fuzz_target!(|data: &[u8]| {
    let mut set = RecordSet::default();
    let mut rest = data;
    while let Some((length, after)) = rest.split_first_chunk() {
        let (message, after) = after.split_at(after.len().min(usize::from(u16::from_be_bytes(*length))));
        rest = after;
        let Ok(message) = ControlMessage::decode(message) else { return };
        let Some(control_message::Body::Chunk(chunk)) = message.body else { continue };
        let changes: Result<Vec<Change>, _> = chunk.changes.into_iter().map(Change::try_from).collect();
        let Ok(changes) = changes else { return };
        let before = set.digest();
        match set.apply(changes) {
            Ok((next, _)) => set = next,
            Err(_) => assert_eq!(set.digest(), before),
        }
    }
    // What a node that holds nothing would be sent leads to the same set.
    let Ok((again, _)) = RecordSet::default().apply(set.since(&RecordSet::default())) else {
        panic!("a set's own records are refused");
    };
    assert_eq!(again.digest(), set.digest());
});
