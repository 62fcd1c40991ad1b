//! The key task that wraps a local key for ImportKeyMaterial of AWS KMS.

use holdfast_keys::local::{self, WrapError, Wrapping};
use holdfast_proto::{
    seal::SealRing,
    sync::{self as wire, KeyTaskFailure, key_task_result::Outcome},
};

use super::{
    failure,
    local::{blob, unopened},
};

/// The wrapped material, or why there is none.
pub(super) fn outcome(task: &wire::WrapForImport, seals: &SealRing) -> Result<Outcome, Outcome> {
    let wrapping = Wrapping::try_from(task.algorithm.as_str())
        .map_err(|_| failure(KeyTaskFailure::Unsupported, "a wrapping algorithm that this version does not know"))?;
    let wrapped = local::wrap(seals, &blob(task.source.clone())?, (&task.public_key, wrapping)).map_err(|error| match error {
        WrapError::Open(error) => unopened(&error),
        WrapError::Unexportable | WrapError::PublicKey | WrapError::TooLong { .. } => failure(KeyTaskFailure::Refused, &error.to_string()),
        WrapError::Failed => failure(KeyTaskFailure::Unavailable, &error.to_string()),
    })?;
    Ok(Outcome::Wrapped(wrapped))
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        time::{Duration, Instant},
    };

    use aws_lc_rs::{
        encoding::{AsDer, PublicKeyX509Der},
        rsa::{KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey},
    };
    use holdfast_keys::local::{NewLocalKey, make};
    use holdfast_proto::{
        kinds::KeyKind,
        records::{KeyUsage, LocalBlob, PartitionKey, SourceKey},
        seal::Seal,
        sync::{KeyTask, WrapForImport, key_task::Task},
    };
    use uuid::Uuid;

    use super::{
        super::{Executor, LOCAL, Recent},
        *,
    };

    struct Scene {
        seals: Arc<SealRing>,
        recent: Recent,
        pair: PrivateDecryptingKey,
    }

    impl Scene {
        fn new() -> Self {
            let seals = Arc::new(SealRing::new(Seal::generate().unwrap(), Vec::new()));
            Self { seals, recent: Recent::default(), pair: PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap() }
        }

        fn key(&self, unexportable: bool) -> SourceKey {
            let new = NewLocalKey { kind: KeyKind::HmacSha384, usage: KeyUsage::BOTH, unexportable };
            SourceKey::Local(make(&self.seals, Uuid::from_u128(1), new).unwrap())
        }

        fn asked(&self, source: &SourceKey) -> WrapForImport {
            let public = self.pair.public_key();
            let public_key = AsDer::<PublicKeyX509Der<'_>>::as_der(&public).unwrap().as_ref().to_vec();
            WrapForImport { source: Some(source.into()), public_key, algorithm: "RSAES_OAEP_SHA_256".into() }
        }

        fn ask(&mut self, id: u8, asked: WrapForImport) -> Outcome {
            let task = KeyTask { id: vec![id; 16], deadline_ms: 10_000, target: LOCAL.into(), task: Some(Task::Wrap(asked)) };
            let until = Instant::now() + Duration::from_secs(10);
            self.recent.answer(task, until, &Executor::Local(Arc::clone(&self.seals))).outcome.unwrap()
        }
    }

    fn failed(outcome: Outcome) -> (KeyTaskFailure, String) {
        match outcome {
            Outcome::Error(error) => (error.failure(), error.detail),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_private_key_unwraps_it_and_a_repeat_gives_the_same_bytes() {
        let mut scene = Scene::new();
        let asked = scene.asked(&scene.key(false));
        let Outcome::Wrapped(wrapped) = scene.ask(1, asked.clone()) else { panic!("wrapped") };
        let private = OaepPrivateDecryptingKey::new(scene.pair.clone()).unwrap();
        let mut out = vec![0; private.min_output_size()];
        assert_eq!(private.decrypt(&OAEP_SHA256_MGF1SHA256, &wrapped, &mut out, None).unwrap().len(), 48);
        assert_eq!(scene.ask(1, asked.clone()), Outcome::Wrapped(wrapped.clone()));
        // Under an id of its own it is wrapped anew.
        assert_ne!(scene.ask(2, asked), Outcome::Wrapped(wrapped));
    }

    #[test]
    fn an_unexportable_key_is_refused_in_words() {
        let mut scene = Scene::new();
        let SourceKey::Local(blob) = scene.key(true) else { panic!("local") };
        let asked = scene.asked(&SourceKey::Local(blob.clone()));
        let (failure, words) = failed(scene.ask(1, asked));
        assert!(failure == KeyTaskFailure::Refused && words.contains("unexportable"), "{failure:?} {words}");
        // Whoever can write configuration but has no key seal can't make it exportable.
        let asked = scene.asked(&SourceKey::Local(LocalBlob { unexportable: false, ..blob }));
        assert_eq!(failed(scene.ask(2, asked)).0, KeyTaskFailure::Refused);
    }

    #[test]
    fn what_can_not_be_wrapped_here_says_whether_another_node_could() {
        let mut scene = Scene::new();
        let asked = scene.asked(&scene.key(false));
        let partition = SourceKey::Partition(PartitionKey { group: "g".into(), cka_id: vec![1].into(), label: String::new() });
        let table = [
            (WrapForImport { algorithm: "SM2PKE".into(), ..asked.clone() }, KeyTaskFailure::Unsupported),
            (WrapForImport { source: Some((&partition).into()), ..asked.clone() }, KeyTaskFailure::Unsupported),
            (WrapForImport { source: None, ..asked.clone() }, KeyTaskFailure::Refused),
            (WrapForImport { public_key: vec![1], ..asked.clone() }, KeyTaskFailure::Refused),
        ];
        for (at, (asked, failure)) in (1..).zip(table) {
            assert_eq!(failed(scene.ask(at, asked)).0, failure);
        }
        let elsewhere = Scene::new().key(false);
        let asked = WrapForImport { source: Some((&elsewhere).into()), ..asked };
        assert_eq!(failed(scene.ask(9, asked)).0, KeyTaskFailure::Unavailable);
    }
}
