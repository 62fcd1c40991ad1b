//! AWS KMS at work with a key of a key store, without a pause, while something is done to the store.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};

use serde_json::json;

use super::{
    kms::Refused,
    site::{Linked, Store},
};
use crate::rest::{hyok_key, text};

/// Callers of KMS, until they are told to stop.
pub(crate) struct Busy {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU32>,
    callers: Vec<thread::JoinHandle<Vec<Refused>>>,
}

impl Busy {
    /// Makes a key in a connected key store, in AWS by hand, and calls it from now on.
    pub(crate) fn with(linked: &Linked, store: &Store) -> Self {
        let made = linked.rest().post("cckm/aws/create-hyok-key", &hyok_key(&store.id, &store.source_key, "busy"));
        let external = text(&made, "/aws_param/XksKeyConfiguration/Id");
        linked.wait_for_nodes();
        let new = json!({ "CustomKeyStoreId": store.in_aws, "Origin": "EXTERNAL_KEY_STORE", "XksKeyId": external });
        let key = text(&linked.kms("CreateKey", &new), "/KeyMetadata/KeyId").to_owned();
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let callers = (0..3)
            .map(|_| {
                let (stop, done, mut kms, key) = (Arc::clone(&stop), Arc::clone(&done), linked.kms_in("us-east-1"), key.clone());
                thread::spawn(move || {
                    let mut failed = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        match kms.call("GenerateDataKey", &json!({ "KeyId": key, "KeySpec": "AES_256" })) {
                            Ok(_) => _ = done.fetch_add(1, Ordering::Relaxed),
                            Err(refused) => failed.push(refused),
                        }
                    }
                    failed
                })
            })
            .collect();
        Self { stop, done, callers }
    }

    /// Waits until some more calls went well.
    pub(crate) fn goes_on(&self, linked: &Linked) {
        let before = self.done.load(Ordering::Relaxed);
        linked.wait_until("AWS called in between", |_| self.done.load(Ordering::Relaxed) > before + 20);
    }

    /// Stops; no call may have failed.
    pub(crate) fn failed_never(self) {
        self.stop.store(true, Ordering::Relaxed);
        let failed: Vec<_> = self.callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect();
        assert!(failed.is_empty(), "{} of {} failed: {:?}", failed.len(), self.done.load(Ordering::Relaxed), failed.first());
    }
}
