//! One fault after the other, under load.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::scene::{self, Scene, key};
use crate::fixture::on_simulator;

#[test]
fn whatever_goes_wrong_no_answer_is_wrong_and_every_job_is_answered() {
    on_simulator(&scene::one(""), |tokens| {
        let scene = Scene::sim(tokens);
        let mut settings = scene.settings();
        settings.sessions = Some(6.try_into().unwrap());
        let running = scene.start(settings).unwrap();
        running.until_up(6);
        let keys = [key("k"), key("l"), key("holdfast-health")];
        let sealed = keys.each_ref().map(|key| running.encrypt(key, &key.name.label).unwrap());
        let (ended, right) = (AtomicBool::new(false), AtomicU32::new(0));
        thread::scope(|threads| {
            for first in 0..4 {
                let (running, keys, sealed, ended, right) = (&running, &keys, &sealed, &ended, &right);
                threads.spawn(move || {
                    let turns = (0..keys.len()).cycle().skip(first);
                    for turn in turns.take_while(|_| !ended.load(Ordering::Relaxed)) {
                        match running.try_decrypt(&keys[turn], &sealed[turn]) {
                            Some(text) => {
                                assert_eq!(text, keys[turn].name.label);
                                right.fetch_add(1, Ordering::Relaxed);
                            }
                            None => thread::yield_now(),
                        }
                    }
                });
            }
            for fault in FAULTS {
                let before = right.load(Ordering::Relaxed);
                scene.fault(fault);
                let start = Instant::now();
                scene::until(|| start.elapsed() > FOR, || "the clock stands".into());
                scene.clear();
                // It comes back, by itself.
                scene::until(|| right.load(Ordering::Relaxed) > before + 20, || format!("{fault}: {:?}", running.front.status()));
            }
            ended.store(true, Ordering::Relaxed);
        });
        running.until_up(6);
        let status = running.front.status();
        assert_eq!((status.in_use, status.queued), (0, 0), "{status:?}");
        for (key, sealed) in keys.iter().zip(&sealed) {
            assert_eq!(running.decrypt(key, sealed).unwrap(), key.name.label);
        }
        running.stop();
    });
}

const FAULTS: [&str; 8] = [
    r#""fault": "error", "rv": "CKR_DEVICE_ERROR", "on": "crypto""#,
    r#""fault": "error", "rv": "CKR_SESSION_HANDLE_INVALID", "calls": 9, "on": "crypto""#,
    r#""fault": "error", "rv": "CKR_USER_NOT_LOGGED_IN", "calls": 3"#,
    r#""fault": "lose-sessions""#,
    r#""fault": "slow", "ms": 300, "on": "crypto""#,
    r#""fault": "reuse-handles""#,
    r#""fault": "hang""#,
    r#""fault": "remove-token""#,
];

/// For how long each fault is in force.
const FOR: Duration = Duration::from_millis(300);
