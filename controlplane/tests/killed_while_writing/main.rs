//! A write that was answered survives `kill -9`; one that was not is wholly there or wholly absent.
//!
//! Run by itself (`harness = false`), because it starts itself again as the process that is killed.

#[cfg(test)]
mod rounds;

fn main() {
    rounds::run();
}
