//! How a data plane leaves.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::{
    client::{Connection, Connector, Signer, ops, path, plain},
    rig::Rig,
};

#[tokio::test]
async fn a_drain_says_so_goes_on_for_its_delay_and_loses_no_request() {
    let rig = Rig::with(|settings, _| settings.drain_delay = Duration::from_secs(3_600), |_| ()).await;
    let connector = Connector::new(&rig);
    let (xks, ops_addr) = (rig.addr(), rig.plane.ops_addr().unwrap());
    let mut idle = Connection::open(&rig).await;
    assert_eq!(idle.call("metadata", &plain("metadata")).await.status, 200);
    assert_eq!(ops(ops_addr, "/readyz").await.0, 200);

    let (hurry, hurried) = oneshot::channel::<()>();
    let draining = tokio::spawn(rig.plane.drain(async move { drop(hurried.await) }));
    while ops(ops_addr, "/readyz").await.0 != 503 {
        tokio::task::yield_now().await;
    }
    // Not ready, and serving all the same: new connections too.
    assert_eq!(ops(ops_addr, "/livez").await.0, 200);
    idle.send("GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(idle.receive().await.unwrap().status, 503);
    let mut busy = connector.connect(xks).await;
    let request = Signer::default().request(&path("metadata"), &plain("metadata").to_string());
    let request = request.replacen("\r\n", "\r\nExpect: 100-continue\r\n", 1);
    let (head, body) = request.split_at(request.find("\r\n\r\n").unwrap() + 4);
    assert_eq!(idle.call("metadata", &plain("metadata")).await.status, 200);
    busy.send(head).await;
    assert_eq!(busy.receive().await.unwrap().status, 100);

    hurry.send(()).unwrap();
    assert!(idle.is_closed().await);
    busy.send(body).await;
    let answer = busy.receive().await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(busy.is_closed().await);
    draining.await.unwrap();
    assert!(connector.try_connect(xks, "localhost").await.is_err());
}

#[tokio::test]
async fn a_node_without_a_snapshot_is_not_ready_and_answers_internal() {
    let rig = Rig::start().await;
    let mut settings = rig.files.settings();
    settings.state_dir = rig.files.path("another");
    let empty = holdfast_dataplane::DataPlane::start(settings).await.unwrap();
    assert_eq!(ops(empty.ops_addr().unwrap(), "/readyz").await.0, 503);
    let mut connection = Connector::new(&rig).connect(empty.xks_addrs()[0]).await;
    assert_eq!(connection.call("metadata", &plain("metadata")).await.refusal(), (500, "InternalException".into()));
}
