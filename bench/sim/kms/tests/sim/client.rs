//! A client of the simulator that signs with `aws-sigv4`.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// Who signs, and what goes wrong with it.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) authority: String,
    pub(crate) access_key_id: String,
    pub(crate) secret: String,
    pub(crate) session_token: Option<String>,
    pub(crate) region: String,
    /// Added to the time of the signature, in seconds.
    pub(crate) skew: i64,
    /// Signed for this service instead of the right one.
    pub(crate) scope: Option<&'static str>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) request_id: Option<String>,
    pub(crate) text: String,
}

impl Answer {
    /// The error's name, of the JSON services.
    pub(crate) fn error(&self) -> String {
        self.json()["__type"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

impl Client {
    /// With what `AssumeRole` answered, XML.
    pub(crate) fn of_session(client: &Self, xml: &str) -> Self {
        let part = |name: &str| xml.split_once(&format!("<{name}>")).unwrap().1.split_once('<').unwrap().0.to_owned();
        let (access_key_id, secret) = (part("AccessKeyId"), part("SecretAccessKey"));
        Self { access_key_id, secret, session_token: Some(part("SessionToken")), ..client.clone() }
    }

    /// A call of KMS.
    pub(crate) async fn kms(&self, operation: &str, body: &Value) -> Answer {
        self.signed("kms", Some(&format!("TrentService.{operation}")), body.to_string()).await.unwrap()
    }

    /// A call of KMS that succeeds.
    pub(crate) async fn done(&self, operation: &str, body: &Value) -> Value {
        let answer = self.kms(operation, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{operation}: {}", answer.text);
        answer.json()
    }

    /// A call of KMS that fails; the error's name.
    pub(crate) async fn refused(&self, operation: &str, body: &Value) -> String {
        let answer = self.kms(operation, body).await;
        assert_ne!(answer.status, StatusCode::OK, "{operation}: {}", answer.text);
        answer.error()
    }

    /// A call of STS.
    pub(crate) async fn sts(&self, form: &str) -> Answer {
        self.signed("sts", None, form.to_owned()).await.unwrap()
    }

    /// A signed request; `None` where the connection was closed without an answer.
    pub(crate) async fn signed(&self, service: &str, target: Option<&str>, body: String) -> Option<Answer> {
        let mut request = self.request(target, body);
        self.sign(&mut request, self.scope.unwrap_or(service));
        self.send(request).await
    }

    /// A signed call of KMS, changed before it is sent.
    pub(crate) async fn changed(&self, operation: &str, change: impl FnOnce(&mut Request<String>)) -> Answer {
        let mut request = self.request(Some(&format!("TrentService.{operation}")), "{}".into());
        self.sign(&mut request, "kms");
        change(&mut request);
        self.send(request).await.unwrap()
    }

    /// A call of KMS that is signed with one body and sent with another.
    pub(crate) async fn altered(&self, target: &str, (signed, sent): (&str, &str)) -> Answer {
        let mut request = self.request(Some(target), signed.to_owned());
        self.sign(&mut request, "kms");
        self.send(request.map(|_| sent.to_owned())).await.unwrap()
    }

    fn request(&self, target: Option<&str>, body: String) -> Request<String> {
        let mut request = Request::post("/").header("host", &self.authority).header("content-type", "application/x-amz-json-1.1");
        if let Some(target) = target {
            request = request.header("x-amz-target", target);
        }
        request.body(body).unwrap()
    }

    /// A switch.
    pub(crate) async fn switch(&self, name: &str, body: &Value) -> Answer {
        let request = Request::post(format!("/_sim/{name}")).header("host", &self.authority).header("content-type", "application/json");
        self.send(request.body(body.to_string()).unwrap()).await.unwrap()
    }

    /// A request as it is; `None` where the connection was closed without an answer.
    pub(crate) async fn send(&self, request: Request<String>) -> Option<Answer> {
        let stream = TcpStream::connect(&self.authority).await.unwrap();
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let answered = sender.send_request(request.map(|body| Full::new(Bytes::from(body)))).await.ok()?;
        let (head, body) = answered.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        connection.abort();
        let request_id = head.headers.get("x-amzn-requestid").map(|id| id.to_str().unwrap().to_owned());
        Some(Answer { status: head.status, request_id, text })
    }

    fn sign(&self, request: &mut Request<String>, service: &str) {
        let credentials = Credentials::new(&self.access_key_id, &self.secret, self.session_token.clone(), None, "test");
        let identity = credentials.into();
        let skew = Duration::from_secs(self.skew.unsigned_abs());
        let at = if self.skew < 0 { SystemTime::now() - skew } else { SystemTime::now() + skew };
        let params =
            SigningParams::builder().identity(&identity).region(&self.region).name(service).time(at).settings(SigningSettings::default());
        let uri = format!("http://{}{}", self.authority, request.uri());
        let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
        let signable = SignableRequest::new("POST", uri, headers, SignableBody::Bytes(request.body().as_bytes())).unwrap();
        let (instructions, _) = sign(signable, &params.build().unwrap().into()).unwrap().into_parts();
        instructions.apply_to_request_http1x(request);
    }
}
