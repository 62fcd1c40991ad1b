//! What a partition does when calls take too long, or never come back.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::scene::{self, Scene, encryption, key};
use crate::fixture::on_simulator;
use crate::pkcs11::{
    clocks::STUCK,
    job::{Done, Fault},
    status::{Condition, TokenTask, TokenTaskError},
};

#[test]
fn one_call_that_hangs_makes_the_partition_suspect_and_costs_one_session() {
    on_simulator(&scene::one(""), |tokens| {
        let scene = Scene::sim(tokens);
        let running = scene.up();
        let k = key("k");
        running.works(&k);
        scene.fault(r#""fault": "hang", "calls": 1, "on": "C_Encrypt""#);
        let hung = running.submit(&k, encryption("x"), scene::LONG);
        // The supervisor finds it by itself; a canary passes; the session is replaced after two seconds.
        running.until(|condition| *condition == Condition::Suspect);
        running.until(Condition::is_up);
        running.works(&k);
        let leaked = || running.front.status().leaked == 1;
        scene::until(leaked, || format!("{:?}", running.front.status()));
        running.until_up(2);
        let status = running.front.status();
        assert_eq!((status.generation, status.in_use, running.front.load()), (1, 0, 0), "it counts no more");
        running.works(&k);
        assert!(hung.ticket.is_started());
        let sessions = scene.count("sessions");
        scene.clear();
        assert!(matches!(hung.outcome(), Err(Fault::Token(_))), "its thread was given up");
        assert_eq!(scene.count("sessions"), sessions, "its session is never closed");
        assert_eq!(running.front.in_use().load(Ordering::SeqCst), 0);
    });
}

#[test]
fn a_token_that_hangs_is_suspect_until_it_answers_and_loses_no_worker() {
    on_simulator(&scene::one(""), |tokens| {
        let scene = Scene::sim(tokens);
        let running = scene.up();
        let k = key("k");
        running.works(&k);
        scene.fault(r#""fault": "hang""#);
        let hung = [running.submit(&k, encryption("x"), scene::LONG), running.submit(&k, encryption("y"), scene::LONG)];
        running.until(|condition| *condition == Condition::Suspect);
        assert!(hung[0].hangs_for(Duration::from_millis(300)));
        assert_eq!(*running.front.condition(), Condition::Suspect);
        scene.clear();
        running.until(Condition::is_up);
        for asked in hung {
            assert!(matches!(asked.outcome(), Ok(Done::Encrypted(_))), "the call came back, and so does its outcome");
        }
        let status = running.front.status();
        assert_eq!((status.generation, status.leaked, status.sessions, status.in_use), (1, 0, 2, 0));
        running.works(&k);
    });
}

#[test]
fn a_steward_that_hangs_is_replaced_and_its_login_stays() {
    on_simulator(&scene::one(""), |tokens| {
        let scene = Scene::sim(tokens);
        let running = scene.up();
        let k = key("k");
        running.works(&k);
        // A worker's call, and the canary that asks after it.
        scene.fault(r#""fault": "hang", "calls": 2, "on": "C_Encrypt""#);
        let hung = running.submit(&k, encryption("x"), scene::LONG);
        running.until(|condition| *condition == Condition::Suspect);
        running.until(Condition::is_up);
        running.works(&k);
        scene::until(|| running.front.status().leaked == 2, || format!("{:?}", running.front.status()));
        running.until_up(2);
        assert_eq!(scene.count("logins"), 1);
        assert_eq!(running.front.generation(), 1);
        scene.clear();
        assert!(matches!(hung.outcome(), Err(Fault::Token(_))));
        running.works(&k);
    });
}

#[test]
fn no_more_is_given_up_than_may_be_and_what_comes_back_ends_it() {
    // Three sessions: with both workers leaked, there is no place for another anchor and a worker.
    on_simulator(&scene::one("sessions = 3"), |tokens| {
        let scene = Scene::sim(tokens);
        let running = scene.up();
        let k = key("k");
        running.works(&k);
        scene.fault(r#""fault": "hang", "calls": 2, "on": "C_Encrypt""#);
        let hung = [(); 2].map(|()| running.submit(&k, encryption("x"), scene::LONG));
        scene::until(|| scene.count("hanging") == 2, || "two hang".into());
        scene.fault(r#""fault": "lose-sessions""#);
        running.front.overdue();
        running.until(|condition| *condition == Condition::Exhausted);
        assert_eq!((running.front.status().leaked, running.front.generation()), (0, 1));
        scene.clear();
        for asked in hung {
            assert!(matches!(asked.outcome(), Err(Fault::Token(_)) | Ok(_)));
        }
        running.until_up(2);
        assert_eq!((running.front.status().leaked, running.front.generation()), (0, 2));
        running.works(&k);
    });
}

#[test]
fn a_steward_is_not_given_up_where_the_token_has_no_session_left_for_another() {
    on_simulator(&scene::one("sessions = 3"), |tokens| {
        let scene = Scene::sim(tokens);
        let running = scene.up();
        let k = key("k");
        running.works(&k);
        scene.fault(r#""fault": "hang", "on": "crypto""#);
        let hung = [(); 2].map(|()| running.submit(&k, encryption("x"), scene::LONG));
        // Longer than a steward may take.
        assert!(hung[0].hangs_for(STUCK + STUCK / 2));
        assert_eq!((running.front.status().leaked, &*running.front.condition()), (0, &Condition::Suspect));
        scene.clear();
        for asked in hung {
            assert!(asked.outcome().is_ok());
        }
        running.until_up(2);
        assert_eq!(running.front.generation(), 1);
        running.works(&k);
    });
}

#[test]
fn a_slow_token_is_suspect_until_it_is_fast_again() {
    on_simulator(&scene::one(""), |tokens| {
        let scene = Scene::sim(tokens);
        let running = scene.up();
        let k = key("k");
        running.works(&k);
        scene.fault(r#""fault": "slow", "ms": 300, "on": "crypto""#);
        let slow = running.submit(&k, encryption("x"), scene::LONG);
        running.until(|condition| *condition == Condition::Suspect);
        assert!(matches!(slow.outcome(), Ok(Done::Encrypted(_))));
        scene.clear();
        running.until(Condition::is_up);
        let status = running.front.status();
        assert_eq!((status.generation, status.leaked, status.sessions), (1, 0, 2));
        running.works(&k);
    });
}

#[test]
fn a_request_that_finds_a_call_overdue_makes_the_partition_suspect_at_once() {
    on_simulator(&scene::one(""), |tokens| {
        let scene = Scene::sim(tokens);
        let running = scene.up();
        scene.fault(r#""fault": "hang", "on": "crypto""#);
        let hung = running.submit(&key("k"), encryption("x"), scene::LONG);
        running.front.overdue();
        assert_eq!(*running.front.condition(), Condition::Suspect);
        scene.clear();
        assert!(hung.outcome().is_ok());
        running.until_up(2);
    });
}

#[test]
fn jobs_that_wait_are_answered_when_the_connection_is_lost() {
    on_simulator(&scene::one(""), |tokens| {
        let scene = Scene::sim(tokens);
        let running = scene.up();
        let k = key("k");
        running.works(&k);
        scene.fault(r#""fault": "hang", "calls": 2, "on": "C_Encrypt""#);
        let asked: Vec<_> = (0..6).map(|_| running.submit(&k, encryption("x"), scene::LONG)).collect();
        scene::until(|| scene.count("hanging") == 2, || "two hang".into());
        scene.fault(r#""fault": "lose-sessions""#);
        // The steward's canary finds out: four waited, two hang.
        running.front.overdue();
        for waiting in &asked[2..] {
            assert!(matches!(waiting.outcome(), Err(Fault::Token(_))));
        }
        running.until_up(2);
        let status = running.front.status();
        assert_eq!((status.generation, status.leaked, status.in_use), (2, 2, 0));
        running.works(&k);
        scene.clear();
        for hung in &asked[..2] {
            assert!(matches!(hung.outcome(), Err(Fault::Token(_))));
        }
        running.works(&k);
    });
}

#[test]
fn a_start_is_not_held_up_by_a_token_that_hangs() {
    on_simulator(&scene::one(""), |tokens| {
        let scene = Scene::sim(tokens);
        // Loads the module, whose control socket is there from then on.
        drop(scene.admin());
        for function in FUNCTIONS {
            let mut settings = scene.settings();
            settings.timeouts.open = Duration::from_millis(400);
            scene.fault(&format!(r#""fault": "hang", "on": "{function}""#));
            let start = Instant::now();
            let running = scene.start(settings).unwrap();
            assert!(start.elapsed() < Duration::from_secs(2), "{function}");
            assert!(matches!(&*running.front.condition(), Condition::Down(why) if why.contains("0.4")), "{function}");
            scene.clear();
            running.until_up(2);
            running.works(&key("k"));
            running.stop();
        }
    });
}

#[test]
fn a_key_task_that_hangs_is_answered_in_time_and_requests_go_on() {
    on_simulator(&scene::one(""), |tokens| {
        let scene = Scene::sim(tokens);
        let mut settings = scene.settings();
        settings.timeouts.task = Duration::from_millis(300);
        let running = scene.start(settings).unwrap();
        running.until_up(2);
        running.works(&key("k"));
        let k = key("k");
        running.works(&k);
        scene.fault(r#""fault": "hang", "calls": 1, "on": "C_FindObjects""#);
        let start = Instant::now();
        assert_eq!(running.task(TokenTask::List), Err(TokenTaskError::Deadline { partition: "p".into() }));
        assert!(start.elapsed() < Duration::from_secs(2));
        running.works(&k);
        assert!(running.task(TokenTask::List).is_ok(), "by another steward");
        let status = running.front.status();
        assert_eq!((status.generation, status.leaked), (1, 1));
        scene.clear();
    });
}

#[test]
fn a_partition_whose_calls_hang_can_be_stopped() {
    on_simulator(&scene::one(""), |tokens| {
        let scene = Scene::sim(tokens);
        let running = scene.up();
        scene.fault(r#""fault": "hang""#);
        let hung = running.submit(&key("k"), encryption("x"), scene::LONG);
        running.until(|condition| *condition == Condition::Suspect);
        running.stop();
        assert_eq!(running.front.status().sessions, 0);
        scene.clear();
        assert!(matches!(hung.outcome(), Err(Fault::Token(_))));
    });
}

/// Calls of a connection, from the first on.
const FUNCTIONS: [&str; 5] = ["C_GetTokenInfo", "C_OpenSession", "C_Login", "C_FindObjectsInit", "C_Encrypt"];
