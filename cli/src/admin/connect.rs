//! The connection to the control plane, and as whom: a session that renews itself, or an API token of the environment.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use holdfast_proto::{
    admin::{RefreshRequest, access_client::AccessClient},
    admin_client::AdminClient,
};
use http::Uri;
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use super::session::{self, Session};
use crate::failure::{Failure, Kind, chain};

/// All services, as somebody.
pub(crate) type Admin = AdminClient<InterceptedService<Channel, Bearer>>;

/// Who calls.
#[derive(Clone)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

impl Bearer {
    fn new(token: &str) -> Result<Self, Failure> {
        let mut value = MetadataValue::try_from(format!("Bearer {token}"))
            .map_err(|_| Failure::of(Kind::SignIn, "the token has characters that no token has"))?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A connection as somebody.
pub(super) struct SignedIn {
    pub(super) admin: Admin,
    session: Option<Resumed>,
}

/// A session that was taken up again.
pub(super) struct Resumed {
    pub(super) session: Session,
    pub(super) channel: Channel,
    place: PathBuf,
    is_fresh: bool,
}

impl SignedIn {
    /// Connects as whom the session or the environment names. A named session goes before a token, a token before the usual session.
    pub(super) async fn new(session: Option<&Path>) -> Result<Self, Failure> {
        match variable("HOLDFAST_TOKEN")? {
            Some(token) if session.is_none() => {
                let server = variable("HOLDFAST_SERVER")?
                    .ok_or_else(|| Failure::of(Kind::Usage, "HOLDFAST_TOKEN is set, but HOLDFAST_SERVER does not say where"))?;
                let ca = variable("HOLDFAST_CA")?.map(|file| read_ca(Path::new(&file))).transpose()?;
                let channel = channel(&server, ca.as_deref()).await?;
                Ok(Self { admin: admin(channel, Bearer::new(token.trim())?), session: None })
            }
            Some(_) | None => {
                let resumed = Resumed::new(session::place(session)?).await?;
                Ok(Self { admin: resumed.admin()?, session: Some(resumed) })
            }
        }
    }

    /// A new token where the old one was refused before its time, as after a restart of the control plane. Whether there is one.
    pub(super) async fn renew(&mut self) -> Result<bool, Failure> {
        match &mut self.session {
            Some(resumed) if !resumed.is_fresh => {
                resumed.refresh().await?;
                self.admin = resumed.admin()?;
                Ok(true)
            }
            Some(_) | None => Ok(false),
        }
    }
}

impl Resumed {
    /// Opens a session's connection, with a token that lasts.
    pub(super) async fn new(place: PathBuf) -> Result<Self, Failure> {
        let session = Session::read(&place)?;
        if let Some(other) = variable("HOLDFAST_SERVER")?.filter(|other| *other != session.server) {
            let signed_in = &session.server;
            return Err(Failure::of(
                Kind::Usage,
                format!(
                    "HOLDFAST_SERVER is {other}, but the session is of {signed_in}: sign in with `holdfast login`, or leave the variable out"
                ),
            ));
        }
        let channel = channel(&session.server, session.ca.as_deref()).await?;
        let mut resumed = Self { session, channel, place, is_fresh: false };
        if resumed.session.is_stale(SystemTime::now()) {
            resumed.refresh().await?;
        }
        Ok(resumed)
    }

    pub(super) fn admin(&self) -> Result<Admin, Failure> {
        Ok(admin(self.channel.clone(), Bearer::new(&self.session.jwt)?))
    }

    async fn refresh(&mut self) -> Result<(), Failure> {
        let asked = SystemTime::now();
        let refresh = RefreshRequest { refresh_token: self.session.refresh_token.clone() };
        let login = AccessClient::new(self.channel.clone()).refresh(refresh).await.map_err(|status| match status.code() {
            Code::Unauthenticated => Failure::of(Kind::SignIn, format!("the session of {} has ended", self.session.username)),
            _ => Failure::from(status),
        })?;
        self.session.renew(login.into_inner(), asked);
        self.is_fresh = true;
        self.session.write(&self.place)
    }
}

/// A failure to prove who calls says what helps.
pub(super) fn advised(failure: Failure) -> Failure {
    match failure.kind() {
        Kind::SignIn => failure.and("`holdfast login` signs in"),
        Kind::Failed | Kind::Usage | Kind::NotFound | Kind::Forbidden | Kind::Refused | Kind::Unreachable => failure,
    }
}

/// A connection over TLS, to an authority of the system's or to this one.
pub(super) async fn channel(server: &str, ca: Option<&str>) -> Result<Channel, Failure> {
    let uri = address(server)?;
    let roots = match ca {
        Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    let endpoint = Endpoint::from(uri).tls_config(roots).map_err(Failure::from_error)?;
    let endpoint = endpoint.connect_timeout(CONNECT).http2_keep_alive_interval(KEEP_ALIVE).keep_alive_timeout(KEEP_ALIVE);
    endpoint.connect().await.map_err(|error| {
        let why = chain(&error);
        let check = if why.contains("UnknownIssuer") {
            "its certificate is of an authority that is not trusted here: `holdfast login --ca FILE` names it (ca.crt in the control plane's data directory)"
        } else if why.contains("certificate") {
            "its certificate does not fit: is this a name that it was made for, and is the --ca that of this control plane?"
        } else {
            "is the control plane running, and is this the address of its API?"
        };
        Failure::of(Kind::Unreachable, format!("cannot reach {server}: {why}; {check}"))
    })
}

/// All services as the caller. Lists may be long.
fn admin(channel: Channel, caller: Bearer) -> Admin {
    let all = Admin::new(InterceptedService::new(channel, caller));
    AdminClient {
        key_stores: all.key_stores.max_decoding_message_size(LONGEST),
        hyok_keys: all.hyok_keys.max_decoding_message_size(LONGEST),
        virtual_keys: all.virtual_keys.max_decoding_message_size(LONGEST),
        source_keys: all.source_keys.max_decoding_message_size(LONGEST),
        partitions: all.partitions.max_decoding_message_size(LONGEST),
        nodes: all.nodes.max_decoding_message_size(LONGEST),
        aws_connections: all.aws_connections.max_decoding_message_size(LONGEST),
        kms_containers: all.kms_containers.max_decoding_message_size(LONGEST),
        aws_keys: all.aws_keys.max_decoding_message_size(LONGEST),
        policy_templates: all.policy_templates.max_decoding_message_size(LONGEST),
        synchronization: all.synchronization.max_decoding_message_size(LONGEST),
        jobs: all.jobs.max_decoding_message_size(LONGEST),
        ..all
    }
}

/// The PEM text of an authority.
pub(super) fn read_ca(file: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(file).map_err(|cause| Failure::file("read", file, &cause))?;
    if text.contains("-----BEGIN CERTIFICATE-----") {
        Ok(text)
    } else {
        Err(Failure::of(Kind::Usage, format!("{} holds no certificate in PEM", file.display())))
    }
}

/// A variable of the environment that is set to something.
pub(super) fn variable(name: &str) -> Result<Option<String>, Failure> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(Failure::of(Kind::Usage, format!("{name} is not UTF-8"))),
    }
}

/// `https://HOST[:PORT]`, and nothing behind it.
fn address(server: &str) -> Result<Uri, Failure> {
    let parsed = server.parse::<Uri>().ok().filter(|uri| {
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        uri.scheme_str() == Some("https") && uri.host().is_some() && is_bare && !server.contains('@')
    });
    parsed.ok_or_else(|| Failure::of(Kind::Usage, format!("{server}: a server is given as https://HOST:PORT")))
}

const CONNECT: Duration = Duration::from_secs(10);
/// A peer that went away without a word is noticed after twice that.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Bytes of an answer: some hundred thousand keys.
const LONGEST: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_https_address_is_a_server() {
        for good in ["https://localhost:8444", "https://cp.example", "https://[::1]:8444/"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in ["http://localhost:8444", "localhost:8444", "https://localhost/api", "https://u:p@localhost", "https://", ""] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
