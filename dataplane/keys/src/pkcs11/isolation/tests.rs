//! Whole partitions in processes of their own: the example `keyhost`, with the simulated HSM in it.

mod scene;

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::unbounded;
use holdfast_proto::records::KeyUsage;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::sync::oneshot;

use self::scene::{PARENT, PATIENCE, Scene, TOKEN, beside, decryption, encryption, job, processes_of, until_gone};
use super::{Host, start};
use crate::{
    fixture::on_softhsm,
    pkcs11::{
        Pkcs11Fault, TokenAdmin,
        front::{Front, Order, Refused},
        handles::KeyName,
        job::{Done, Fault, Proof, Ticket, Work},
        settings::{Isolation, PartitionSettings, PinSource, TokenSelector},
        status::{Condition, NewKey, TokenTask, TokenTaskDone, TokenTaskError},
    },
};

#[test]
fn jobs_cross_to_the_process_and_back() {
    let scene = Scene::new(2);
    let sealed = scene.encrypt(b"text");
    let decrypted = scene.run(&decryption(&sealed));
    assert!(matches!(decrypted, Ok(Done::Decrypted(text)) if *text == b"text"));
    let mut altered = sealed;
    altered.tag[0] ^= 1;
    assert_eq!(scene.run(&decryption(&altered)).unwrap_err(), Fault::Input);
    let (missing, outcome) = job("nothing", Work::Describe);
    assert!(scene.front.submit(missing).is_ok());
    assert!(matches!(outcome.recv_timeout(PATIENCE).unwrap(), Err(Fault::Missing(_))));
    assert_eq!(scene.front.facts().unwrap().manufacturer, "Holdfast Simulator");
    assert_eq!(scene.front.in_use().load(Ordering::Relaxed), 0);
}

#[test]
fn the_same_is_true_of_softhsm() {
    on_softhsm(&["a"], |tokens| {
        let (mut settings, state_dir) = (tokens.partition("a"), tokens.state_dir());
        let admin = TokenAdmin::open(&settings, &state_dir).unwrap();
        let keys = [(1, "holdfast-health"), (2, "k")].map(|(id, label)| admin.generate(&[id], label, KeyUsage::BOTH).unwrap());
        settings.isolation = Isolation::Process;
        let (orders, ordered) = unbounded();
        let front = Front::new("a", "a", orders);
        let keyhost = vec![beside("../examples/keyhost")];
        start(Host { settings, state_dir, keyhost }, Arc::clone(&front), ordered).unwrap();
        let run = |work| {
            let (job, outcome) = job("k", work);
            assert!(front.submit(job).is_ok(), "it takes work");
            outcome.recv_timeout(PATIENCE).unwrap()
        };
        let Ok(Done::Encrypted(sealed)) = run(encryption(b"text")) else { panic!("not encrypted") };
        assert!(matches!(run(decryption(&sealed)), Ok(Done::Decrypted(text)) if *text == b"text"));
        let (give, listed) = oneshot::channel();
        front.order(Order::Task(TokenTask::List, give));
        let Ok(TokenTaskDone::Keys(mut found)) = listed.blocking_recv().unwrap() else { panic!("not listed") };
        found.sort_by(|one, other| one.cka_id.cmp(&other.cka_id));
        assert_eq!(found, keys);
        front.order(Order::Stop);
    });
}

#[test]
fn a_job_with_a_proof_is_done_where_the_key_is_proved_alone() {
    let scene = Scene::new(1);
    let Ok(Done::Proof(right)) = scene.run(&Work::MakeProof) else { panic!("no proof") };
    let wrong = Proof { tag: [0; 16], ..right.clone() };
    for (proof, is_right) in [(right, true), (wrong, false)] {
        let (mut proved, outcome) = job("k", encryption(b"text"));
        proved.proof = Some(Arc::new(proof));
        assert!(scene.front.submit(proved).is_ok());
        match outcome.recv_timeout(PATIENCE).unwrap() {
            Ok(Done::Encrypted(_)) => assert!(is_right),
            outcome => assert!(!is_right && matches!(outcome, Err(Fault::NotProved)), "{outcome:?}"),
        }
    }
}

#[test]
fn each_of_many_jobs_gets_its_own_answer() {
    let scene = Scene::new(4);
    let text = |number: u32| number.to_be_bytes().repeat(9);
    let (mut sealed, mut right) = (Vec::new(), 0);
    for round in 0..20 {
        let jobs = [0, 1, 2, 3, 4, 5, 6, 7].map(|number| (round * 8 + number, scene.submit(&encryption(&text(round * 8 + number)))));
        for (number, outcome) in jobs {
            match outcome.recv_timeout(PATIENCE).unwrap() {
                Ok(Done::Encrypted(encrypted)) => sealed.push((number, encrypted)),
                outcome => assert!(matches!(outcome, Err(Fault::Expired | Fault::Token(_))), "{outcome:?}"),
            }
        }
    }
    for jobs in sealed.chunks(8) {
        let outcomes: Vec<_> = jobs.iter().map(|(_, sealed)| scene.submit(&decryption(sealed))).collect();
        for ((number, _), outcome) in jobs.iter().zip(outcomes) {
            match outcome.recv_timeout(PATIENCE).unwrap() {
                Ok(Done::Decrypted(found)) => {
                    assert_eq!(*found, text(*number));
                    right += 1;
                }
                outcome => assert!(matches!(outcome, Err(Fault::Expired | Fault::Token(_))), "{outcome:?}"),
            }
        }
    }
    // What took too long may be refused; the rest is not little.
    assert!(right > 80, "{right}");
}

#[test]
fn a_job_that_was_given_up_is_not_started() {
    let scene = Scene::new(1);
    let (given_up, first) = job("k", encryption(b"text"));
    assert!(given_up.ticket.give_up());
    assert!(scene.front.submit(given_up).is_ok());
    let (mut expired, second) = job("k", encryption(b"text"));
    expired.ticket = Ticket::new(Instant::now());
    assert!(scene.front.submit(expired).is_ok());
    assert_eq!(second.recv_timeout(PATIENCE).unwrap().unwrap_err(), Fault::Expired);
    assert!(first.recv().is_err(), "nobody answers it");
    scene.encrypt(b"and their place is free");
}

#[test]
fn tasks_cross_however_long_their_result_is() {
    let scene = Scene::new(1);
    let new = NewKey { cka_id: [9; 16].into(), label: "new".into(), encrypt: true, decrypt: true };
    let Ok(TokenTaskDone::Key(made)) = scene.task(TokenTask::Generate(new.clone())) else { panic!("not generated") };
    let Ok(TokenTaskDone::Key(found)) = scene.task(TokenTask::Inspect(KeyName { cka_id: new.cka_id, label: String::new() })) else {
        panic!("not found")
    };
    assert_eq!(made, found);
    let Ok(TokenTaskDone::Keys(keys)) = scene.task(TokenTask::List) else { panic!("not listed") };
    assert_eq!(keys.len(), 2 + 1);
}

#[test]
fn an_overdue_call_makes_it_suspect_until_a_canary_comes_back() {
    let scene = Scene::new(1);
    let (child, generation) = (scene.child(), scene.front.generation());
    for _ in 0..3 {
        scene.front.overdue();
        assert_eq!(*scene.front.condition(), Condition::Suspect);
        scene.until_up();
    }
    assert_eq!((scene.child(), scene.front.generation()), (child, generation));
    scene.encrypt(b"after");
}

#[test]
fn a_session_in_a_call_that_hangs_does_not_keep_its_place() {
    let scene = Scene::new(1);
    let child = scene.child();
    scene.sim(&json!({"partition": "a", "fault": "hang", "on": "crypto", "calls": 1}));
    let hung = scene.submit(&encryption(b"hangs"));
    scene.until_hanging(1);
    scene.front.overdue();
    scene.until_up();
    assert!(hung.recv_timeout(PATIENCE).unwrap().is_err());
    scene.encrypt(b"another session");
    assert_eq!(scene.child(), child, "one call that hangs is no reason to end the process");
    assert_eq!(scene.front.status().leaked, 1);
}

#[test]
fn a_process_whose_calls_all_hang_is_killed_after_two_seconds() {
    let scene = Scene::new(2);
    let (child, generation) = (scene.child(), scene.front.generation());
    scene.sim(&json!({"partition": "a", "fault": "hang", "on": "crypto", "ms": 3000}));
    let (hung, since) = (scene.submit(&encryption(b"hangs")), Instant::now());
    scene.until_hanging(1);
    scene.front.overdue();
    assert!(matches!(hung.recv_timeout(PATIENCE).unwrap(), Err(Fault::Token(_))));
    let took = since.elapsed();
    assert!(took > Duration::from_millis(1900) && took < Duration::from_millis(2900), "{took:?}");
    scene.until_replaced(child, generation);
    assert_eq!(scene.front.status().leaked, 0, "what hung ended with the process");
}

#[test]
fn a_crash_answers_what_was_under_way_at_once_and_ends_in_a_new_process() {
    let scene = Scene::new(2);
    let (child, generation) = (scene.child(), scene.front.generation());
    scene.sim(&json!({"partition": "a", "fault": "hang", "on": "crypto", "calls": 2, "ms": 1500}));
    let hung: [_; 4] = std::array::from_fn(|_| scene.submit(&encryption(b"hangs")));
    scene.until_hanging(2);
    let since = Instant::now();
    scene.sim(&json!({"partition": "a", "fault": "crash", "ms": 0}));
    for outcome in hung {
        assert!(matches!(outcome.recv_timeout(PATIENCE).unwrap(), Err(Fault::Token(_))));
    }
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    scene.until_replaced(child, generation);
}

#[test]
fn a_process_that_is_killed_is_replaced_and_one_that_is_stopped_is_killed() {
    let scene = Scene::new(2);
    for signal in [Signal::KILL, Signal::STOP, Signal::ABORT] {
        let (child, generation) = (scene.child(), scene.front.generation());
        kill_process(child, signal).unwrap();
        scene.until_replaced(child, generation);
    }
}

#[test]
fn signals_that_ask_for_a_drain_do_not_end_the_process() {
    let scene = Scene::new(1);
    let (child, generation) = (scene.child(), scene.front.generation());
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        kill_process(child, signal).unwrap();
        scene.encrypt(b"still there");
    }
    assert_eq!((scene.child(), scene.front.generation()), (child, generation));
}

#[test]
fn a_stopped_process_holds_up_nobody() {
    let scene = Scene::new(64);
    scene.until("all sessions work", |front| front.status().sessions == 64);
    kill_process(scene.child(), Signal::STOP).unwrap();
    // More than a socket holds: the last of them can't be written.
    let jobs: Vec<_> = (0..64).map(|_| scene.submit(&encryption(&vec![7; 60_000]))).collect();
    let since = Instant::now();
    assert!(matches!(scene.task(TokenTask::List), Err(TokenTaskError::Unavailable { .. })));
    for outcome in jobs {
        assert!(matches!(outcome.recv_timeout(PATIENCE).unwrap(), Err(Fault::Token(_) | Fault::Expired)));
    }
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
    scene.until_up();
}

#[test]
fn lost_sessions_are_another_generation_of_the_same_process() {
    let scene = Scene::new(2);
    let (child, generation) = (scene.child(), scene.front.generation());
    scene.sim(&json!({"partition": "a", "fault": "lose-sessions"}));
    // Whatever becomes of this one, it tells the partition.
    let _ = scene.run(&encryption(b"lost"));
    scene.until("another generation", |front| front.condition().is_up() && front.generation() > generation);
    scene.encrypt(b"after");
    assert_eq!(scene.child(), child);
}

#[test]
fn a_wrong_configuration_is_told_and_leaves_no_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    fs::write(path.join("sim.toml"), TOKEN).unwrap();
    let faults = Scene::of(directory, &["HOLDFAST_SIM_HSM=sim.toml"], &beside("libholdfast_sim_hsm.so"), (1, "other")).err().unwrap();
    assert!(faults.iter().all(Pkcs11Fault::is_configuration) && faults[0].to_string().contains("other"), "{faults:?}");
    for child in processes_of(&path) {
        until_gone(child);
    }
}

#[test]
fn a_program_that_can_not_be_started_is_a_wrong_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let pin = PinSource::File(directory.path().join("pin"));
    let settings = PartitionSettings::new("p".into(), "none.so".into(), TokenSelector::Slot(0), pin);
    let (orders, ordered) = unbounded();
    let host = Host { settings, state_dir: directory.path().into(), keyhost: vec!["/nowhere/holdfast".into(), "keyhost".into()] };
    let faults = start(host, Front::new("p", "p", orders), ordered).unwrap_err();
    assert!(faults[0].is_configuration() && faults[0].to_string().contains("/nowhere/holdfast"), "{faults:?}");
}

#[test]
fn a_process_that_ends_or_says_nothing_or_nonsense_is_a_partition_that_is_down() {
    let nonsense = "exec 3>&0; tr '\\0' '\\377' </dev/zero | head -c 100 >&3; exec sleep 60";
    for (program, why) in [
        (vec!["true"], "the connection was closed"),
        (vec!["sleep", "60"], "nothing was heard for too long"),
        (vec!["sh", "-c", nonsense], "a frame of 4294967295 bytes is too long"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let pin = PinSource::File(directory.path().join("pin"));
        let settings = PartitionSettings::new("p".into(), "none.so".into(), TokenSelector::Slot(0), pin);
        let (orders, ordered) = unbounded();
        let front = Front::new("p", "p", orders);
        let keyhost = program.iter().map(PathBuf::from).collect();
        start(Host { settings, state_dir: directory.path().into(), keyhost }, Arc::clone(&front), ordered).unwrap();
        let condition = front.condition();
        assert!(matches!(&*condition, Condition::Down(told) if told.contains(why)), "{condition:?}, not {why}");
        front.order(Order::Stop);
    }
}

#[test]
fn a_pin_that_a_later_process_finds_refused_is_tried_once_and_the_process_stays() {
    let scene = Scene::new(1);
    let pin = scene.directory.path().join("pin");
    fs::write(&pin, "wrong").unwrap();
    kill_process(scene.child(), Signal::KILL).unwrap();
    scene.until("the PIN is refused", |front| matches!(*front.condition(), Condition::PinRefused(_)));
    let child = scene.child();
    assert_eq!(scene.sim(&json!({"partition": "a", "fault": "wrong-pin"}))["attempts"], 1);
    fs::write(&pin, "1234").unwrap();
    scene.until_up();
    assert_eq!(scene.child(), child);
    scene.encrypt(b"with the right PIN");
}

#[test]
fn a_process_ends_with_its_partition() {
    let scene = Scene::new(1);
    let child = scene.child();
    scene.front.order(Order::Stop);
    until_gone(child);
    let (job, _outcome) = job("k", Work::Check);
    assert!(matches!(scene.front.submit(job), Err(Refused::NotUp(_))));
}

#[test]
fn a_process_ends_with_its_parent_even_while_it_is_stopped() {
    if env::var_os(PARENT).is_some() {
        let scene = Scene::new(1);
        writeln!(io::stdout(), "\n@{}", scene.child().as_raw_nonzero()).unwrap();
        // Ended from outside.
        thread::park();
    }
    for stopped in [false, true] {
        let test = "pkcs11::isolation::tests::a_process_ends_with_its_parent_even_while_it_is_stopped";
        let mut command = Command::new(env::current_exe().unwrap());
        let mut parent = command.args([test, "--exact", "--nocapture"]).env(PARENT, "1").stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
        let line = lines.map(Result::unwrap).find(|line| line.starts_with('@')).unwrap();
        let child = Pid::from_raw(line[1..].parse().unwrap()).unwrap();
        if stopped {
            kill_process(child, Signal::STOP).unwrap();
        }
        parent.kill().unwrap();
        parent.wait().unwrap();
        until_gone(child);
    }
}
