//! Tests in a process of their own: what a PKCS#11 module reads from its environment, it reads once.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

/// Runs `body` in a process whose environment has the variable that `prepare` gives. Both get the test's own directory. `test` is the
/// test's path within this binary.
pub(crate) fn in_a_process(test: &str, prepare: impl FnOnce(&Path) -> (&'static str, PathBuf), body: impl AsyncFnOnce(PathBuf)) {
    if let Some(directory) = env::var_os(DIRECTORY) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        return runtime.block_on(body(directory.into()));
    }
    // One after another: they count on answers in time. One that failed has left nothing behind, its process being gone.
    let _alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    let (variable, value) = prepare(directory.path());
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture"]).env(variable, value).env(DIRECTORY, directory.path());
    let output = child.output().unwrap();
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success() && out.contains("1 passed"), "{}\n{out}\n{err}", output.status);
}

static MACHINE: Mutex<()> = Mutex::new(());

/// In the environment of such a process.
const DIRECTORY: &str = "HOLDFAST_TEST_DIRECTORY";
