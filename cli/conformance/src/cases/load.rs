//! Many at once: concurrency, time to answer, and clients that hold the proxy up.
//!
//! Holds: 250 ms is when AWS KMS gives up, so it is the limit everywhere here. Latency under load counts from
//! when a request was due, not from when it was sent (open loop).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::answer::{Stop, Verdict, ensure};
use crate::cases::encrypt::check_cdiv;
use crate::hello::{TLS_1_2, client_hello};
use crate::message::{Operation, Plain, Sealed};
use crate::plan::Plan;
use crate::suite::Suite;
use crate::wire::Wire;

pub(crate) fn cases(plan: &mut Plan) {
    plan.measured("load.32-connections-of-50-requests", LIMIT, concurrency);
    plan.measured("load.p99-at-200-per-second", LIMIT, open_loop);
    plan.measured("load.first-answer-on-a-new-connection", LIMIT, new_connections);
    plan.measured("load.beside-200-half-open-handshakes", LIMIT, half_open);
    plan.measured("load.beside-200-silent-connections", LIMIT, silent);
    plan.measured("load.beside-50-slow-heads", LIMIT, |suite| slow(suite, Slow::Head));
    plan.measured("load.beside-50-slow-bodies", LIMIT, |suite| slow(suite, Slow::Body));
}

/// One Encrypt with its integrity value checked.
async fn encrypt(suite: &Suite, wire: &mut Wire) -> Verdict<Duration> {
    let plain = Plain::new(b"0123456789abcdef0123456789abcdef").with_aad(b"project=nile");
    let plain = plain.with_integrity();
    let request = suite.draft(Operation::Encrypt, &plain.request()).sign()?;
    let answer = wire.send(&request).await?;
    check_cdiv(&Sealed::read(plain, &answer)?)?;
    Ok(answer.elapsed)
}

async fn concurrency(suite: Arc<Suite>) -> Verdict<String> {
    let start = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..32 {
        let suite = Arc::clone(&suite);
        running.spawn(async move {
            let mut wire = suite.wire().await?;
            for _ in 0..50 {
                encrypt(&suite, &mut wire).await?;
            }
            Ok::<(), Stop>(())
        });
    }
    for done in running.join_all().await {
        done?;
    }
    let rate = 1_600.0 / start.elapsed().as_secs_f64();
    Ok(format!("{rate:.0} per second"))
}

/// 20 connections take turns: one request is due every 5 ms, whether the last one was answered or not.
async fn open_loop(suite: Arc<Suite>) -> Verdict<String> {
    let mut wires = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut wire = suite.wire().await?;
        encrypt(&suite, &mut wire).await?;
        wires.push(wire);
    }
    let start = Instant::now() + EVERY;
    let mut running = JoinSet::new();
    for (first, mut wire) in (0..CONNECTIONS).zip(wires) {
        let suite = Arc::clone(&suite);
        running.spawn(async move {
            let mut seen = Vec::new();
            for turn in 0..TURNS {
                let due = start + EVERY * (first + turn * CONNECTIONS);
                tokio::time::sleep_until(due.into()).await;
                encrypt(&suite, &mut wire).await?;
                seen.push(due.elapsed());
            }
            Ok::<_, Stop>(seen)
        });
    }
    let mut seen = Vec::new();
    for part in running.join_all().await {
        seen.extend(part?);
    }
    within(seen, 99, "p99")
}

async fn new_connections(suite: Arc<Suite>) -> Verdict<String> {
    let seen = first_answers(&suite, 40).await?;
    within(seen, 95, "p95")
}

/// The time from nothing to an answer, on one new connection after another.
async fn first_answers(suite: &Suite, count: usize) -> Verdict<Vec<Duration>> {
    let mut seen = Vec::new();
    for _ in 0..count {
        let request = suite.metadata_draft().sign()?;
        let start = Instant::now();
        suite.wire().await?.send(&request).await?.ok()?;
        seen.push(start.elapsed());
    }
    Ok(seen)
}

/// Expects this percentile below the time that KMS waits.
fn within(mut seen: Vec<Duration>, percent: usize, name: &str) -> Verdict<String> {
    seen.sort_unstable();
    let rank = (seen.len() * percent).div_ceil(100).saturating_sub(1);
    let value = seen.get(rank).copied().unwrap_or(Duration::MAX);
    let text = format!("{name} {:.1} ms", value.as_secs_f64() * 1_000.0);
    ensure(value < PATIENCE, &format!("{name} under 250 ms"), &text)?;
    Ok(text)
}

/// 200 connections that began a `ClientHello` and stopped halfway.
async fn half_open(suite: Arc<Suite>) -> Verdict<String> {
    let hello = client_hello(TLS_1_2, None);
    let half = hello.get(..hello.len() / 2).unwrap_or_default();
    let held = hold(&suite, 200, half).await?;
    served_beside(&suite, held).await
}

/// 200 connections that say nothing at all.
async fn silent(suite: Arc<Suite>) -> Verdict<String> {
    let held = hold(&suite, 200, &[]).await?;
    served_beside(&suite, held).await
}

async fn hold(suite: &Suite, count: usize, start: &[u8]) -> Verdict<Vec<TcpStream>> {
    let mut held = Vec::new();
    for _ in 0..count {
        let mut stream = suite.tcp().await?;
        let written = stream.write_all(start).await;
        written.map_err(|error| Stop::wrong("an open connection", error.to_string()))?;
        held.push(stream);
    }
    Ok(held)
}

/// Where a slow client stops.
#[derive(Clone, Copy)]
enum Slow {
    Head,
    Body,
}

/// 50 connections that began a request and stopped.
async fn slow(suite: Arc<Suite>, stop: Slow) -> Verdict<String> {
    let mut held = Vec::new();
    for _ in 0..50 {
        let request = suite.metadata_draft().sign()?;
        let bytes = match stop {
            Slow::Head => request.head(""),
            Slow::Body => request.http1(),
        };
        let mut wire = suite.wire().await?;
        let most = bytes.get(..bytes.len() - 4).unwrap_or_default();
        wire.write(most).await?;
        held.push(wire);
    }
    served_beside(&suite, held).await
}

/// Expects prompt first answers while these are held, and lets them go afterwards.
async fn served_beside<T>(suite: &Suite, held: Vec<T>) -> Verdict<String> {
    let seen = first_answers(suite, 40).await?;
    drop(held);
    within(seen, 95, "p95")
}

/// How long AWS KMS waits for an answer.
const PATIENCE: Duration = Duration::from_millis(250);
const EVERY: Duration = Duration::from_millis(5);
const CONNECTIONS: u32 = 20;
/// 50 turns of 20 connections, 5 ms apart, are 5 s.
const TURNS: u32 = 50;
const LIMIT: Duration = Duration::from_secs(15);
