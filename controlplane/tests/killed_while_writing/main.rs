//! A write that was answered survives `kill -9` and a full disk; one that was not is wholly there or wholly absent.
//!
//! Run by itself (`harness = false`), because it starts itself again as the process that is killed. `--rounds N` kills so often
//! instead of 30 times: `make soak`.

#[cfg(test)]
mod plan;
#[cfg(test)]
mod rounds;

fn main() {
    rounds::run();
}
