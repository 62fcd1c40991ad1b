//! One stream under a paused clock, without a network: what it sends, and when.

use holdfast_proto::{
    snapshot::RecordSet,
    sync::{ControlMessage, NackReason, control_message},
};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;
use crate::{
    cache::Cache,
    live::{
        Live,
        tests::{Maker, at, no_groups},
    },
    metrics::Metrics,
    sync::session::tests::{control, push, set},
};

/// A stream of a node, with the test in the place of the control plane.
struct Wire {
    live: Arc<Live>,
    maker: Maker,
    to_node: mpsc::UnboundedSender<Result<ControlMessage, Status>>,
    from_node: mpsc::Receiver<NodeMessage>,
    /// To fake the writer.
    durable: watch::Sender<Revision>,
    installed: watch::Receiver<Arc<Snapshot>>,
    _leaving: watch::Sender<bool>,
    _directory: TempDir,
    _stream: JoinHandle<()>,
}

impl Wire {
    /// A node that holds one store at revision 4.
    fn new(mut left: Bequest) -> (Self, RecordSet) {
        let (maker, directory) = (Maker::new(), TempDir::new().unwrap());
        let records = set(maker.store(1, 1));
        let live = Arc::new(maker.live());
        let held = live.install(records.clone(), at(4));
        let (durable_to, durable) = watch::channel(at(4));
        let (installed, to_write) = watch::channel(held);
        let (leaving_to, leaving) = watch::channel(false);
        let (text, path) = (String::new, PathBuf::new);
        let settings = SyncSettings { endpoint: text(), server_name: text(), certificate: path(), key: path(), ca: path() };
        let groups = no_groups();
        let parts = Parts {
            live: Arc::clone(&live),
            cache: Arc::new(Cache::open(directory.path().into(), Arc::clone(&maker.seals)).unwrap()),
            seals: Arc::clone(&maker.seals),
            groups: Arc::clone(&groups),
            metrics: Arc::new(Metrics::register()),
            fleet: Arc::default(),
            listeners: Vec::new(),
        };
        let tasks = Tasks::start(Arc::clone(&maker.seals), &groups).unwrap();
        let client = Client { settings, parts, tasks, leaving, installed, durable };
        let (to_node, messages) = mpsc::unbounded_channel();
        let (out, from_node) = mpsc::channel(OUTGOING);
        let session = Session::new(at(4), records.clone(), false);
        let stream = tokio::spawn(async move {
            let (mut stream, mut finished) = Stream::begin(&client, out, &session).unwrap();
            let messages = tokio_stream::wrappers::UnboundedReceiverStream::new(messages);
            let Err(_) = stream.run(messages, session, &mut finished, &mut left).await;
        });
        let wire = Self {
            live,
            maker,
            to_node,
            from_node,
            durable: durable_to,
            installed: to_write,
            _leaving: leaving_to,
            _directory: directory,
            _stream: stream,
        };
        (wire, records)
    }

    async fn next(&mut self) -> Body {
        self.from_node.recv().await.unwrap().body.unwrap()
    }

    /// The next message but status.
    async fn said(&mut self) -> Body {
        loop {
            match self.next().await {
                Body::Status(_) => {}
                other => return other,
            }
        }
    }

    fn send(&self, messages: impl IntoIterator<Item = ControlMessage>) {
        for message in messages {
            self.to_node.send(Ok(message)).unwrap();
        }
    }
}

async fn greeted() -> (Wire, RecordSet) {
    greeted_after(Bequest::default()).await
}

/// What every stream begins with.
async fn greeted_after(left: Bequest) -> (Wire, RecordSet) {
    let (mut wire, records) = Wire::new(left);
    assert!(matches!(wire.next().await, Body::Hello(hello) if hello.applied == Some(at(4).into())));
    assert!(matches!(wire.next().await, Body::Ack(ack) if ack.applied == Some(at(4).into())));
    assert!(matches!(wire.next().await, Body::Status(_)));
    (wire, records)
}

#[tokio::test(start_paused = true)]
async fn status_comes_every_ten_seconds() {
    let (mut wire, _) = greeted().await;
    let began = Instant::now();
    for n in 1..4 {
        assert!(matches!(wire.next().await, Body::Status(_)));
        assert_eq!(began.elapsed().as_secs(), 10 * n);
    }
}

#[tokio::test(start_paused = true)]
async fn silence_after_hello_means_that_nothing_is_newer() {
    let (wire, _) = greeted().await;
    assert!(!wire.live.is_current());
    sleep(SETTLE + Duration::from_millis(1)).await;
    assert!(wire.live.is_current());
}

#[tokio::test(start_paused = true)]
async fn once_the_control_plane_says_that_nothing_is_newer_its_silence_means_that_it_hangs() {
    let (mut wire, records) = greeted().await;
    let current = |n| [control(control_message::Body::Current(wire::Current { revision: Some(at(n).into()) }))];
    for _ in 0..20 {
        wire.send(current(4));
        sleep(Duration::from_secs(1)).await;
        assert!(wire.live.is_current());
    }
    // Of a revision that this node doesn't hold it says nothing.
    wire.send(current(5));
    sleep(DOUBT).await;
    assert!(!wire.live.is_current());
    sleep(SETTLE * 2).await;
    assert!(!wire.live.is_current());
    wire.send(current(4));
    sleep(Duration::from_millis(1)).await;
    assert!(wire.live.is_current());
    // A push counts as a sign of life, too.
    sleep(DOUBT - Duration::from_secs(1)).await;
    wire.send(push(Some((at(4), &records)), (at(5), &records)));
    while !matches!(wire.said().await, Body::Ack(ack) if ack.applied == Some(at(5).into())) {}
    sleep(DOUBT - Duration::from_secs(1)).await;
    assert!(wire.live.is_current());
    sleep(Duration::from_secs(2)).await;
    assert!(!wire.live.is_current());
}

#[tokio::test(start_paused = true)]
async fn after_a_refused_push_silence_says_nothing_not_even_on_the_next_stream() {
    let (mut wire, records) = greeted_after(Bequest { refused: true, ..Bequest::default() }).await;
    sleep(SETTLE * 2).await;
    assert!(!wire.live.is_current());
    wire.send(push(Some((at(4), &records)), (at(5), &records)));
    assert!(matches!(wire.said().await, Body::Ack(ack) if ack.applied == Some(at(5).into())));
    assert!(wire.live.is_current());
}

#[tokio::test(start_paused = true)]
async fn while_a_push_is_on_its_way_the_snapshot_is_not_current() {
    let (mut wire, records) = greeted().await;
    let mut messages = push(Some((at(4), &records)), (at(5), &set([wire.maker.store(1, 1), wire.maker.store(2, 1)].concat())));
    let commit = messages.pop();
    wire.send(messages);
    sleep(SETTLE * 2).await;
    assert!(!wire.live.is_current());
    wire.send(commit);
    assert!(matches!(wire.said().await, Body::Ack(ack) if ack.applied == Some(at(5).into())));
    assert!(wire.live.is_current());
}

#[tokio::test(start_paused = true)]
async fn the_second_ack_waits_for_the_disk_and_the_next_push_does_not() {
    let (mut wire, records) = greeted().await;
    let more = |n| set([wire.maker.store(1, 1), wire.maker.store(n, 1)].concat());
    let (five, six) = (more(5), more(6));
    wire.send(push(None, (at(5), &five)));
    wire.send(push(Some((at(5), &five)), (at(6), &six)));
    for applied in [5, 6] {
        assert!(matches!(wire.said().await, Body::Ack(a) if (a.applied, a.durable) == (Some(at(applied).into()), Some(at(4).into()))));
    }
    assert_eq!(wire.installed.borrow().revision, at(6));
    wire.durable.send_replace(at(6));
    assert!(matches!(wire.said().await, Body::Ack(a) if (a.applied, a.durable) == (Some(at(6).into()), Some(at(6).into()))));
    assert_ne!(records.digest(), six.digest());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_refuses_pushes_says_hello_again_once_a_minute_at_most() {
    let (mut wire, records) = greeted().await;
    let began = Instant::now();
    let backwards = || push(None, (at(3), &records));
    for _ in 0..3 {
        wire.send(backwards());
        assert!(matches!(wire.said().await, Body::Nack(nack) if nack.reason() == NackReason::Revision));
        sleep(Duration::from_secs(7)).await;
    }
    assert!(matches!(wire.said().await, Body::Hello(hello) if hello.applied == Some(at(4).into())));
    assert_eq!(began.elapsed(), HELLO_AGAIN);
    wire.send(backwards());
    assert!(matches!(wire.said().await, Body::Nack(_)));
    assert!(matches!(wire.said().await, Body::Hello(_)));
    assert_eq!(began.elapsed(), HELLO_AGAIN * 2);
    // And not again without another refusal.
    sleep(HELLO_AGAIN * 3).await;
    wire.send([control(control_message::Body::KeyTask(wire::KeyTask::default()))]);
    assert!(matches!(wire.said().await, Body::TaskResult(_)));
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_does_not_read_is_given_up() {
    let (wire, records) = greeted().await;
    let backwards = push(None, (at(3), &records));
    for _ in 0..=OUTGOING {
        // The node may have hung up by now.
        for message in backwards.clone() {
            let _ = wire.to_node.send(Ok(message));
        }
    }
    wire.to_node.closed().await;
}
