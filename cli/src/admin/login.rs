//! `holdfast login`, `logout` and `whoami`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::SystemTime,
};

use clap::Args;
use holdfast_proto::admin::{LoginRequest, LogoutRequest, WhoAmIRequest, access_client::AccessClient};
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    At,
    connect::{Resumed, channel, read_ca, variable},
    passwords::PasswordSource,
    runtime,
    session::{self, Session},
};
use crate::{
    failure::{Failure, Kind},
    handout::Handout,
};

/// Signs in at a control plane; the other commands then know where and who
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  holdfast login --dev ./holdfast-data
  holdfast login --server https://cp.example:8444 --ca ca.crt --username admin")]
pub(crate) struct LoginArgs {
    /// The control plane's API, https://HOST:PORT [env: HOLDFAST_SERVER]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// PEM file of the authority that signed its certificate [env: HOLDFAST_CA] [default: those of the system]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Who signs in [default: admin]
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    #[command(flatten)]
    password: PasswordSource,
    /// Server, authority, name and password of a `holdfast dev` that runs here, from its data directory
    #[arg(
        long,
        value_name = "DIR",
        num_args = 0..=1,
        default_missing_value = "./holdfast-data",
        conflicts_with_all = ["server", "ca", "username", "password_file", "password_stdin"]
    )]
    dev: Option<PathBuf>,
    #[command(flatten)]
    at: At,
}

/// Ends the session, here and at the control plane
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast logout")]
pub(crate) struct LogoutArgs {
    #[command(flatten)]
    at: At,
}

/// Shows who is signed in, with which roles
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast whoami --json")]
pub(crate) struct WhoAmIArgs {
    #[command(flatten)]
    at: At,
}

impl LoginArgs {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let json = self.at.json;
        let done = runtime().and_then(|runtime| runtime.block_on(self.sign_in()));
        done.map(|()| ExitCode::SUCCESS).map_err(|failure| failure.in_json(json))
    }

    async fn sign_in(self) -> Result<(), Failure> {
        let place = session::place(self.at.session.as_deref())?;
        let Who { server, ca, username, password } = match &self.dev {
            Some(dir) => Who::of_dev(dir)?,
            None => self.who()?,
        };
        let channel = channel(&server, ca.as_deref()).await?;
        let asked = SystemTime::now();
        let request = LoginRequest { username: username.clone(), password: password.to_string() };
        let login = AccessClient::new(channel).login(request).await?.into_inner();
        let mut session = Session { server, ca, username, refresh_token: String::new(), jwt: String::new(), jwt_expires_ms: 0 };
        session.renew(login, asked);
        session.write(&place)?;
        let shown = json!({ "server": session.server, "username": session.username, "session": place });
        self.at.out().done(&shown, &format!("{} is signed in at {}", session.username, session.server))
    }

    fn who(&self) -> Result<Who, Failure> {
        let server = match &self.server {
            Some(server) => server.clone(),
            None => variable("HOLDFAST_SERVER")?
                .ok_or_else(|| Failure::of(Kind::Usage, "which control plane? --server https://HOST:PORT, or --dev"))?,
        };
        let ca = match &self.ca {
            Some(file) => Some(file.clone()),
            None => variable("HOLDFAST_CA")?.map(PathBuf::from),
        };
        let ca = ca.as_deref().map(read_ca).transpose()?;
        let username = self.username.clone().unwrap_or_else(|| "admin".to_owned());
        let password = self.password.given_or_asked(&format!("password of {username}"))?;
        Ok(Who { server, ca, username, password })
    }
}

/// Who signs in where.
struct Who {
    server: String,
    ca: Option<String>,
    username: String,
    password: Zeroizing<String>,
}

impl Who {
    fn of_dev(dir: &Path) -> Result<Self, Failure> {
        let file = dir.join("dev.json");
        let handout = Handout::read(&file).map_err(|cause| Failure::file("read", &file, &cause))?;
        let api = handout.and_then(|handout| handout.api).ok_or_else(|| {
            Failure::new(format!("{} is not there: does `holdfast dev --data-dir {}` run?", file.display(), dir.display()))
        })?;
        Ok(Self { server: api.url, ca: Some(read_ca(&api.ca)?), username: api.username, password: Zeroizing::new(api.password) })
    }
}

impl LogoutArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        let done = runtime().and_then(|runtime| runtime.block_on(self.sign_out()));
        done.map(|()| ExitCode::SUCCESS).map_err(|failure| failure.in_json(self.at.json))
    }

    /// The file goes in any case: a control plane that can't be reached must not keep anybody signed in here.
    async fn sign_out(&self) -> Result<(), Failure> {
        let place = session::place(self.at.session.as_deref())?;
        let told = tell(&place).await;
        match fs::remove_file(&place) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(Failure::file("remove", &place, &cause)),
            Ok(()) | Err(_) => {}
        }
        match told {
            Ok(()) => self.at.out().done(&json!({}), "signed out"),
            Err(failure) if failure.kind() == Kind::SignIn => self.at.out().done(&json!({}), "was not signed in"),
            Err(failure) => Err(failure.and("signed out here, but the control plane was not told")),
        }
    }
}

async fn tell(place: &Path) -> Result<(), Failure> {
    let resumed = Resumed::new(place.to_owned()).await?;
    let request = LogoutRequest { refresh_token: resumed.session.refresh_token.clone() };
    resumed.admin()?.access.logout(request).await?;
    Ok(())
}

impl WhoAmIArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        self.at.run(&async |admin, out| {
            let who = admin.access.who_am_i(WhoAmIRequest {}).await?.into_inner();
            out.one(&who, [("name", who.name.clone()), ("roles", who.roles.join(", ")), ("id", who.id.clone())])
        })
    }
}
