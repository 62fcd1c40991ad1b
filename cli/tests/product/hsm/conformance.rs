//! The strict suite on keys of tokens.

use super::{rig::Dev, simulator::Simulator, softhsm::SoftHsm};
use crate::process::alone;

#[test]
fn keys_on_softhsm_conform_in_this_process_and_in_one_of_their_own() {
    let _alone = alone();
    let hsm = SoftHsm::with_tokens(&["plain", "apart"]);
    let dev = Dev::start(hsm.environment(), vec![hsm.spec("plain", ""), hsm.spec("apart", ",isolation=process")]);
    let labels: Vec<_> = dev.handout()["partitions"].as_array().unwrap().iter().map(|one| one["labels"].clone()).collect();
    assert_eq!(labels, [serde_json::json!(["plain"]), serde_json::json!(["apart"])]);
    dev.conforms("plain");
    dev.conforms("apart");
    // The keys that were made at the first start are found at the second.
    let before = dev.group("plain");
    let dev = dev.restart();
    assert_eq!(before, {
        let mut after = dev.group("plain");
        after["xks"]["port"] = before["xks"]["port"].clone();
        after
    });
}

#[test]
fn a_group_of_two_softhsm_tokens_conforms_in_this_process_and_apart() {
    let _alone = alone();
    for isolation in ["", ",isolation=process"] {
        let hsm = SoftHsm::with_tokens(&["one", "two"]);
        for token in ["one", "two"] {
            hsm.import(token, "holdfast-health", &[1; 32]);
            hsm.import(token, "holdfast-demo", &[2; 32]);
        }
        let more = format!(",group=pair{isolation}");
        let dev = Dev::start(hsm.environment(), vec![hsm.spec("one", &more), hsm.spec("two", &more)]);
        dev.conforms("pair");
        for token in ["one", "two"] {
            assert!(dev.metric("holdfast_partition_call_seconds_count", token) > 0.0, "{token} did nothing");
        }
    }
}

/// The caller's rule is that of the groups below.
#[test]
fn ivs_that_the_token_makes_conform_in_this_process_and_apart() {
    let _alone = alone();
    let hsm = Simulator::new(&["plain", "apart"], "iv = \"token\"");
    let dev = Dev::start(hsm.environment(), vec![hsm.spec("plain", ""), hsm.spec("apart", ",isolation=process")]);
    dev.conforms("plain");
    dev.conforms("apart");
    // 16 bytes long.
    let hsm = Simulator::new(&["plain"], "iv = \"appended\"");
    Dev::start(hsm.environment(), vec![hsm.spec("plain", "")]).conforms("plain");
}

#[test]
fn two_simulated_partitions_conform_as_one_group() {
    let _alone = alone();
    for isolation in ["", ",isolation=process"] {
        let hsm = Simulator::new(&["one", "two"], "");
        let more = format!(",group=pair{isolation}");
        let dev = Dev::start(hsm.environment(), vec![hsm.spec("one", &more), hsm.spec("two", &more)]);
        dev.conforms("pair");
    }
}
