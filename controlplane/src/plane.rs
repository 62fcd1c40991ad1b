//! A running control plane: opens what `init` made, starts publishing and the API, and ends them in order.
//!
//! Always holds: a task of it that panics is begun again, or whoever runs the control plane is told that it is broken (`upkeep`).

mod fault;
mod parts;

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum_server::Handle;
use holdfast_proto::secret::Secret;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Mutex, mpsc},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

pub use self::fault::{StartErrors, StartFault};
use self::parts::{Parts, tokio_listener};
use crate::{
    access::{Access, AccessSettings, Permit},
    api::{self, Api, Door},
    core::{
        BackedUpFiles, Core, CoreError, Writer,
        demo::{DemoCredential, DemoKms, DemoOptions, PartitionDemo},
        import::ImportKeyStore,
        jobs::{BackupPlace, Runner},
    },
    init::ADMIN,
    names::UserName,
    ops_port,
    publish::{self, PublishSettings, Publisher, Running},
    settings::Settings,
    upkeep::{Needed, Upkeep},
};

/// A running control plane.
pub struct ControlPlane {
    core: Arc<Core>,
    jobs: Arc<Runner>,
    api_addr: SocketAddr,
    ops_addr: Option<SocketAddr>,
    api: Handle<SocketAddr>,
    draining: CancellationToken,
    broken: CancellationToken,
    upkeep: Upkeep,
}

impl ControlPlane {
    /// Starts on the current runtime. All sockets listen when this comes back.
    ///
    /// # Errors
    /// [`StartErrors`] lists everything that is wrong.
    pub async fn start(settings: Settings) -> Result<Self, StartErrors> {
        let parts = Parts::gather(&settings)?;
        Self::assemble(settings, parts).await.map_err(|fault| StartErrors(vec![fault]))
    }

    /// Where the API listens.
    #[must_use]
    pub const fn api_addr(&self) -> SocketAddr {
        self.api_addr
    }

    /// Where nodes connect.
    #[must_use]
    pub fn sync_addr(&self) -> SocketAddr {
        self.core.publisher().addr()
    }

    /// The ops port, if there is one.
    #[must_use]
    pub const fn ops_addr(&self) -> Option<SocketAddr> {
        self.ops_addr
    }

    /// A new credential for the demo, for someone who lost the secret.
    ///
    /// # Errors
    /// [`CoreError::NotFound`] where no demo was promised.
    pub async fn demo_credential(&self) -> Result<DemoCredential, CoreError> {
        self.core.demo_credential().await
    }

    /// Makes a partition group's demo, once a connected data plane serves the group; its credential where it was made now, none where it
    /// was there already, which needs no data plane.
    ///
    /// # Errors
    /// [`CoreError::Invalid`] for a key that will not do; [`CoreError::State`] where the demo that is there is on other keys; what kept it
    /// from being made until `limit`.
    pub async fn make_partition_demo(
        &self,
        demo: PartitionDemo,
        options: DemoOptions,
        limit: Duration,
    ) -> Result<Option<DemoCredential>, CoreError> {
        self.core.make_partition_demo(demo, options, limit).await
    }

    /// A new credential for a partition group's demo, for someone who lost the secret.
    ///
    /// # Errors
    /// [`CoreError::NotFound`] where there is no such demo.
    pub async fn partition_demo_credential(&self, group: &str) -> Result<DemoCredential, CoreError> {
        self.core.partition_demo_credential(group).await
    }

    /// Waits until the key of a partition group's demo can encrypt on all connected nodes; whether it can after `limit`.
    ///
    /// # Errors
    /// [`CoreError::NotFound`] where there is no such demo.
    pub async fn partition_demo_served(&self, group: &str, limit: Duration) -> Result<bool, CoreError> {
        self.core.partition_demo_served(group, limit).await
    }

    /// Sets how many requests per second and node the demo and those of partition groups answer; none: no limit.
    ///
    /// # Errors
    /// [`CoreError::NotFound`] where no demo was promised.
    pub async fn set_demo_quota(&self, quota: Option<NonZeroU32>) -> Result<(), CoreError> {
        self.core.set_demo_quota(quota).await
    }

    /// Makes an AWS connection and a KMS container where they are missing, and puts the demo key stores into it.
    ///
    /// # Errors
    /// [`CoreError::Invalid`] for what AWS would not have either.
    pub async fn keep_demo_kms(&self, kms: DemoKms) -> Result<(), CoreError> {
        self.core.keep_demo_kms(kms).await
    }

    /// A new password for the user `admin`. Whoever holds this value runs the process and needs no login.
    ///
    /// # Errors
    /// [`CoreError::NotFound`] where there is no such user any more.
    pub async fn reset_admin_password(&self) -> Result<Secret, CoreError> {
        let admin = UserName::try_from(ADMIN).map_err(|_| CoreError::NotFound("user"))?;
        let reset = self.core.reset_password(&Permit::system("recovery"), &admin, None).await?;
        reset.generated.ok_or(CoreError::Random)
    }

    /// Waits until the demo's key can encrypt on all connected nodes; whether it can after `limit`.
    ///
    /// # Errors
    /// [`CoreError::NotFound`] where no demo was promised.
    pub async fn demo_served(&self, limit: Duration) -> Result<bool, CoreError> {
        self.core.demo_served(limit).await
    }

    /// Adds key stores with keys that were made elsewhere under the same key seal. Whoever holds this value runs the process and needs
    /// no login.
    ///
    /// # Errors
    /// As [`Core::import`].
    pub async fn import(&self, stores: Vec<ImportKeyStore>) -> Result<(), CoreError> {
        self.core.import(&Permit::system("import"), stores).await
    }

    /// Runs the jobs that are due at `now`, as the control plane does by itself when they are. Whoever holds this value runs the process
    /// and needs no login.
    ///
    /// # Errors
    /// [`CoreError::Read`]; a job that fails is logged.
    pub async fn run_due_jobs(&self, now: SystemTime) -> Result<(), CoreError> {
        self.jobs.run_due(now.into()).await
    }

    /// Comes back when something has ended without which the control plane is of no use, and which the log names: drain it then, and start
    /// another one.
    pub async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// Ends: not ready, then the API within ten seconds, then the streams to nodes.
    pub async fn drain(self) {
        self.draining.cancel();
        self.api.graceful_shutdown(Some(LONGEST_DRAIN));
        self.core.publisher().drain().await;
        let Upkeep { tasks, stop } = self.upkeep;
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }

    async fn assemble(settings: Settings, parts: Parts) -> Result<Self, StartFault> {
        let Parts { store, seal, server, api_tls, audit, aws, sockets } = parts;
        let writer = Arc::new(Writer::new(Arc::clone(&store), audit.clone()));
        let listen = |what, addr| move |cause| StartFault::Listen { what, addr, cause };
        let sync = tokio_listener(sockets.sync).map_err(listen("sync", settings.sync_listen))?;
        let publishing = PublishSettings {
            listener: sync,
            certificate: server.certificate.clone(),
            key: server.key.to_string(),
            client_ca: server.ca,
            rotate_at: settings.rotate_at,
            audit: audit.clone(),
            connections: settings.sync_connections,
        };
        let access = AccessSettings { writer: Arc::clone(&writer), seal: seal.clone(), renew_for: settings.renew_for };
        let access = Arc::new(Access::open(access).await?);
        let Running { publisher, rotations_due, broken } = publish::spawn(publishing, Arc::clone(&store), seal.clone()).await?;
        let core = Core::new(writer, seal, publisher, aws).with_files(BackedUpFiles::of(settings.data_dir.clone()));
        let core = Arc::new(core.with_backup_place(BackupPlace::of(&settings)));
        let jobs = Arc::new(Runner::new(Arc::clone(&core), audit.clone()));

        let (draining, upkeep) = (CancellationToken::new(), Upkeep { tasks: TaskTracker::new(), stop: CancellationToken::new() });
        let api_addr = sockets.api.local_addr().map_err(listen("API", settings.api_listen))?;
        tracing::info!(listener = "api", addr = %api_addr, "listening");
        let handle = Handle::new();
        let door = Door { listener: sockets.api, tls: api_tls, connections: settings.api_connections };
        let served = api::serve(door, handle.clone(), Arc::new(Api { core: Arc::clone(&core), access, audit }));
        let needed = Needed { task: "API", stop: draining.clone(), broken: broken.clone() };
        upkeep.tasks.spawn(needed.run(async move {
            if let Err(error) = served.await {
                tracing::error!(error = &error as &dyn std::error::Error, "the API ended");
            }
        }));
        let mut ops_addr = None;
        if let Some((socket, addr)) = sockets.ops.zip(settings.ops_listen) {
            let bound = socket.local_addr().map_err(listen("ops", addr))?;
            tracing::info!(listener = "ops", addr = %bound, "listening");
            ops_addr = Some(bound);
            let ops = ops_port::Ops { store: Arc::clone(&store), metrics: settings.metrics, draining: draining.clone() };
            let served = ops_port::serve((socket, settings.ops_connections), ops, upkeep.stop.clone());
            let needed = Needed { task: "ops port", stop: upkeep.stop.clone(), broken: broken.clone() };
            upkeep.tasks.spawn(needed.run(async move {
                if let Err(error) = served.await {
                    tracing::error!(%error, "the ops port ended");
                }
            }));
        }
        for (task, begin) in LASTING {
            let core = Arc::clone(&core);
            upkeep.keep(task, move || begin(Arc::clone(&core)));
        }
        let runner = Arc::clone(&jobs);
        upkeep.keep("jobs", move || Arc::clone(&runner).keep_running());
        let (rotating, due) = (Arc::clone(&core), Arc::new(Mutex::new(rotations_due)));
        upkeep.keep("key rotations", move || rotate_worn(Arc::clone(&rotating), Arc::clone(&due)));
        Ok(Self { core, jobs, api_addr, ops_addr, api: handle, draining, broken, upkeep })
    }
}

/// Rotates keys as they wear out.
async fn rotate_worn(core: Arc<Core>, due: Arc<Mutex<mpsc::Receiver<Uuid>>>) {
    let mut due = due.lock().await;
    while let Some(virtual_key) = due.recv().await {
        rotate(&core, virtual_key).await;
    }
}

/// Begins a task on the operations.
type Begin = fn(Arc<Core>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// SIGHUP, which would end the process otherwise, has refused pushes offered again (design §7.4).
async fn reload_at_hangups(publisher: Publisher) {
    match signal(SignalKind::hangup()) {
        Ok(mut hangups) => {
            while hangups.recv().await.is_some() {
                publisher.reload();
            }
        }
        Err(error) => tracing::warn!(%error, "SIGHUP will not have refused pushes offered again"),
    }
}

async fn rotate(core: &Core, virtual_key: Uuid) {
    match core.rotate_worn_key(virtual_key).await {
        Ok(Some(rotated)) => tracing::info!(%virtual_key, version = rotated.version, "a worn key is being rotated"),
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, %virtual_key, "a worn key was not rotated; tried again later");
        }
    }
}

/// What goes on by itself, with the name of each in the log: all of them read what they need from the store.
const LASTING: [(&str, Begin); 7] = [
    ("demo", |core| Box::pin(core.keep_demo_promise())),
    ("new keys", |core| Box::pin(core.finish_keys())),
    ("reloads", |core| Box::pin(reload_at_hangups(core.publisher().clone()))),
    ("credentials", |core| Box::pin(core.keep_retiring_credentials())),
    ("key stores in AWS", |core| Box::pin(core.keep_following_key_stores())),
    ("keys in AWS", |core| Box::pin(core.keep_following_aws_keys())),
    ("synchronization", |core| Box::pin(core.keep_synchronizing())),
];
/// Design §4.
const LONGEST_DRAIN: Duration = Duration::from_secs(10);
