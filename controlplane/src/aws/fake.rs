//! An AWS for tests: answers over HTTP what a test says, and a core that asks it.

use std::{collections::BTreeMap, sync::Arc};

use holdfast_proto::secret::Secret;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use uuid::Uuid;

use super::AwsSettings;
use crate::{
    core::Core,
    publish::tests::estate::{Estate, kms_container},
    store::{
        entry::{AssumeRole, AwsCloud, AwsConnectionEntry, Entry, EntryChange, Stamps, StsEndpoints},
        seal::SecretOf,
    },
};

/// What an AWS answers to an operation (without its service) and its body: a status and a body. None: nothing, ever.
pub(crate) trait Answers: Fn(&str, &Value) -> Option<(u16, Value)> + Send + Sync + 'static {}

impl<F: Fn(&str, &Value) -> Option<(u16, Value)> + Send + Sync + 'static> Answers for F {}

/// The account that the fake's credentials are of, and that of [`container`].
pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const REGION: &str = "us-east-1";
/// The KMS container that [`core`] has.
pub(crate) const CONTAINER: Uuid = Uuid::from_u128(0xc0);

/// An error of AWS's.
pub(crate) fn error(name: &str) -> Option<(u16, Value)> {
    Some((400, json!({ "__type": name, "message": "no" })))
}

/// Where an AWS is that answers so; whose credentials are which it tells by itself, unless an answer of the test says otherwise.
pub(crate) async fn start(answers: impl Answers) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers = Arc::new(answers);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&answers)));
        }
    });
    url
}

/// A core with a KMS container whose AWS answers so, and that is as patient as `settings` say.
pub(crate) async fn core(estate: &Estate, settings: AwsSettings, answers: impl Answers) -> Arc<Core> {
    let url = Some(start(answers).await);
    let settings = AwsSettings { kms_endpoint: url.clone(), cloudhsmv2_endpoint: url.clone(), sts_endpoint: url, ..settings };
    let connection = connection(estate);
    let container = crate::store::entry::KmsContainerEntry { connection: connection.id, ..kms_container(CONTAINER, ACCOUNT, &[REGION]) };
    let entries = [Entry::AwsConnection(connection), Entry::KmsContainer(container)];
    estate.commit(entries.into_iter().map(EntryChange::put).collect()).await;
    Arc::new(estate.core(settings).await)
}

fn connection(estate: &Estate) -> AwsConnectionEntry {
    let id = Uuid::from_u128(0xc1);
    AwsConnectionEntry {
        id,
        name: "aws".into(),
        description: None,
        access_key_id: Some("AKIAFAKE".into()),
        secret: Some(estate.seal.seal(SecretOf::AwsConnection(id), &Secret::new("secret".into())).unwrap()),
        assume_role: AssumeRole { arn: None, external_id: None },
        region: None,
        sts_endpoints: StsEndpoints::default(),
        cloud: AwsCloud::default(),
        role_anywhere: None,
        labels: BTreeMap::new(),
        meta: serde_json::Map::new(),
        products: Vec::new(),
        stamps: Stamps::default(),
    }
}

async fn serve(stream: TcpStream, answers: Arc<impl Answers>) {
    let mut stream = BufReader::new(stream);
    while let Some((operation, body)) = read(&mut stream).await {
        let told = answers(&operation, &body);
        let (status, text) = match (told, operation.as_str()) {
            (Some((status, Value::String(text))), _) => (status, text),
            (Some((status, told)), _) => (status, told.to_string()),
            (None, "GetCallerIdentity") => (200, identity()),
            (None, _) => std::future::pending().await,
        };
        let answer = format!("HTTP/1.1 {status} told\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The next request's operation and body; none: there is none.
async fn read(stream: &mut BufReader<TcpStream>) -> Option<(String, Value)> {
    let (mut operation, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(": ") else { continue };
        match name.to_ascii_lowercase().as_str() {
            "x-amz-target" => operation = value.rsplit('.').next()?.into(),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    if operation.is_empty() {
        let form = String::from_utf8(body).ok()?;
        let action = form.split('&').find_map(|member| member.strip_prefix("Action="))?;
        return Some((action.into(), Value::Null));
    }
    Some((operation, serde_json::from_slice(&body).unwrap_or_default()))
}

fn identity() -> String {
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult><Account>{ACCOUNT}</Account>\
         </GetCallerIdentityResult></GetCallerIdentityResponse>"
    )
}
