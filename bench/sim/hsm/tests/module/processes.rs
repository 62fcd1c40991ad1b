//! Faults by the control socket when several processes have loaded the module.

use std::{
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use crate::scene::{self, encrypt, find, play};

#[test]
fn a_fault_reaches_every_process_and_so_does_its_end() {
    play("a_fault_reaches_every_process_and_so_does_its_end", ONE, |scene| {
        let a = scene.logged_in("a");
        let key = find(&a, "k");
        let mut workers = [scene.worker(), scene.worker()];
        scene.fault(r#"{"partition": "a", "fault": "hang"}"#);
        workers.iter_mut().for_each(scene::Worker::order);
        scene.until_hanging("a", 2);
        let status = scene.status("a");
        assert_eq!((&status["processes"], &status["sessions"], &status["logins"]), (&3.into(), &3.into(), &3.into()));
        scene.fault(r#"{"partition": "a", "fault": "clear"}"#);
        for worker in &mut workers {
            assert_eq!(worker.answer(), "ok");
        }
        scene.fault(r#"{"partition": "a", "fault": "lose-sessions"}"#);
        for mut worker in workers {
            worker.order();
            assert!(worker.answer().contains("SessionHandleInvalid"));
            worker.end();
        }
        assert!(encrypt(&a, key, b"x").is_err());
    });
}

#[test]
fn a_process_that_comes_later_meets_the_faults_in_force() {
    play("a_process_that_comes_later_meets_the_faults_in_force", ONE, |scene| {
        scene.fault(r#"{"partition": "a", "fault": "error", "rv": "CKR_DEVICE_ERROR", "on": "crypto"}"#);
        scene.fault(r#"{"partition": "a", "fault": "lose-sessions"}"#);
        let mut worker = scene.worker();
        worker.order();
        assert!(worker.answer().contains("DeviceError"));
        scene.fault(r#"{"partition": "a", "fault": "clear"}"#);
        worker.order();
        assert_eq!(worker.answer(), "ok", "what was lost before it came is not lost again");
        assert!(worker.end());
    });
}

#[test]
fn counted_calls_are_counted_over_all_processes() {
    play("counted_calls_are_counted_over_all_processes", ONE, |scene| {
        let mut worker = scene.worker();
        scene.fault(r#"{"partition": "a", "fault": "error", "rv": "CKR_DEVICE_ERROR", "calls": 1, "on": "crypto"}"#);
        worker.order();
        assert!(worker.answer().contains("DeviceError"));
        let a = scene.logged_in("a");
        assert!(encrypt(&a, find(&a, "k"), b"x").is_ok());
        assert!(worker.end());
    });
}

#[test]
fn a_crash_takes_one_process_once() {
    play("a_crash_takes_one_process_once", ONE, |scene| {
        let mut worker = scene.worker();
        scene.fault(r#"{"partition": "a", "fault": "crash"}"#);
        worker.order();
        assert_eq!(worker.answer(), "", "it is dead");
        assert!(!worker.end());
        let a = scene.logged_in("a");
        assert!(encrypt(&a, find(&a, "k"), b"x").is_ok());
        let mut next = scene.worker();
        next.order();
        assert_eq!(next.answer(), "ok");
        assert!(next.end());
        assert_eq!(scene.status("a")["processes"], 1, "the dead are not counted");
    });
}

#[test]
fn a_crash_at_once_takes_those_with_a_session_only() {
    play("a_crash_at_once_takes_those_with_a_session_only", ONE, |scene| {
        let worker = scene.worker();
        scene.fault(r#"{"partition": "a", "fault": "crash", "ms": 0}"#);
        assert!(!worker.end());
        assert_eq!(scene.status("a")["processes"], 1);
    });
}

#[test]
fn each_process_can_be_reached_by_itself() {
    play("each_process_can_be_reached_by_itself", ONE, |scene| {
        let worker = scene.worker();
        let status = scene::tell(&scene.own_socket(&worker), r#"{"partition": "a", "fault": "status"}"#);
        assert_eq!((&status["ok"], &status["processes"]), (&true.into(), &2.into()));
        assert!(worker.end());
    });
}

#[test]
fn another_process_takes_the_control_socket_over_from_a_dead_one() {
    const TEST: &str = "another_process_takes_the_control_socket_over_from_a_dead_one";
    if scene::in_child() {
        return scene::Scene::enter(TEST, |_| unreachable!("all are workers"));
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("sim.toml"), ONE).unwrap();
    let control = directory.path().join("control");
    let mut first = scene::Worker::start(TEST, directory.path());
    let mut second = scene::Worker::start(TEST, directory.path());
    assert_eq!(scene::tell(&control, r#"{"partition": "a", "fault": "crash"}"#)["ok"], true);
    first.order();
    assert!(!first.end());
    // The second learns of it from the kernel; until then the socket of the dead process refuses.
    let start = Instant::now();
    while UnixStream::connect(&control).is_err() {
        assert!(start.elapsed() < Duration::from_secs(10));
        std::thread::yield_now();
    }
    assert_eq!(scene::tell(&control, r#"{"partition": "a", "fault": "error", "rv": 48}"#)["ok"], true);
    second.order();
    assert!(second.answer().contains("DeviceError"));
    assert!(second.end());
}

const ONE: &str = "control = 'control'\n[[partition]]\nlabel = 'a'\npin = '1234'\n[[partition.key]]\nid = '01'\nlabel = 'k'\nseed = 's'";
