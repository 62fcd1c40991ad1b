//! `holdfast`: the one binary. Each subcommand is a module; this one parses, runs, prints a failure once and picks the exit code
//! (see `failure::EXIT_CODES`).

mod admin;
mod config;
mod conformance;
mod controlplane;
mod data_dir;
mod dataplane;
mod dev;
mod failure;
mod generated;
mod handout;
mod keyhost;
mod logging;
mod node;
mod output;
mod partition;
mod partition_spec;
mod restore;
mod signals;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::failure::{EXIT_CODES, Failure};

/// An AWS KMS external key store (XKS) proxy: hold your own key
#[derive(Parser, Debug)]
#[command(version, propagate_version = true, after_help = "Example: holdfast dev", after_long_help = format!("Example: holdfast dev\n\n{EXIT_CODES}"))]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Dev(dev::DevArgs),
    Controlplane(controlplane::ControlPlaneArgs),
    Dataplane(dataplane::DataPlaneArgs),
    Node(node::NodeArgs),
    Partition(partition::PartitionArgs),
    Conformance(conformance::ConformanceArgs),
    Login(admin::LoginArgs),
    Logout(admin::LogoutArgs),
    #[command(name = "whoami")]
    WhoAmI(admin::WhoAmIArgs),
    Keystore(admin::KeystoreArgs),
    Credential(admin::CredentialArgs),
    Key(admin::KeyArgs),
    Hyok(admin::HyokArgs),
    VirtualKey(admin::VirtualKeyArgs),
    Aws(admin::AwsArgs),
    AwsKey(admin::AwsKeyArgs),
    Sync(admin::SyncArgs),
    Job(admin::JobArgs),
    User(admin::UserArgs),
    Token(admin::TokenArgs),
    Backup(admin::BackupArgs),
    Restore(restore::RestoreArgs),
    Reseal(admin::ResealArgs),
    Completions(generated::CompletionsArgs),
    Man(generated::ManArgs),
    #[command(hide = true)]
    Keyhost(keyhost::KeyhostArgs),
}

fn main() -> ! {
    let outcome = match Cli::parse().command {
        Command::Dev(args) => dev::run(args),
        Command::Controlplane(args) => controlplane::run(args),
        Command::Dataplane(args) => dataplane::run(&args),
        Command::Node(args) => node::run(args),
        Command::Partition(args) => partition::run(args),
        Command::Conformance(args) => conformance::run(args),
        Command::Login(args) => args.run(),
        Command::Logout(args) => args.run(),
        Command::WhoAmI(args) => args.run(),
        Command::Keystore(args) => args.run(),
        Command::Credential(args) => args.run(),
        Command::Key(args) => args.run(),
        Command::Hyok(args) => args.run(),
        Command::VirtualKey(args) => args.run(),
        Command::Aws(args) => args.run(),
        Command::AwsKey(args) => args.run(),
        Command::Sync(args) => args.run(),
        Command::Job(args) => args.run(),
        Command::User(args) => args.run(),
        Command::Token(args) => args.run(),
        Command::Backup(args) => args.run(),
        Command::Restore(args) => restore::run(args),
        Command::Reseal(args) => args.run(),
        Command::Completions(args) => generated::completions(&args, Cli::command()),
        Command::Man(args) => generated::man(&args, Cli::command()),
        Command::Keyhost(args) => keyhost::run(&args),
    };
    let code = match outcome {
        Ok(code) => i32::from(code != ExitCode::SUCCESS),
        Err(failure) => {
            eprintln!("{failure}");
            failure.kind().exit_code()
        }
    };
    // All that is buffered still; who doesn't listen any more misses nothing.
    let _ = io::stdout().flush();
    // Past the exit handlers: those of a PKCS#11 module may wait for, or pull the ground from under, a thread that hangs in it.
    signal_hook::low_level::exit(code)
}

/// The runtime that a plane runs on: a worker for each core.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|cause| Failure::new(format!("cannot start worker threads: {cause}")))
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    #[test]
    fn every_command_has_an_example_and_every_example_parses() {
        let mut whole = Cli::command();
        whole.build();
        let examples = examples(&whole);
        assert!(examples.len() > 60, "{}", examples.len());
        for example in examples {
            let parsed = Cli::try_parse_from(words(&example));
            assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
        }
    }

    #[test]
    fn every_argument_says_what_it_is() {
        fn walk(command: &Command, silent: &mut Vec<String>) {
            let arguments = command.get_arguments().filter(|argument| argument.get_help().is_none());
            silent.extend(arguments.map(|argument| format!("{} {}", command.get_name(), argument.get_id())));
            command.get_subcommands().filter(|below| !below.is_hide_set()).for_each(|below| walk(below, silent));
        }
        let mut silent = Vec::new();
        walk(&Cli::command(), &mut silent);
        // What these are is said where they override a file's members.
        silent.retain(|argument| !argument.starts_with("conformance "));
        assert_eq!(silent, [""; 0]);
    }

    /// As a shell splits a line, as far as the examples go: at spaces that stand in no single quotes.
    fn words(line: &str) -> Vec<String> {
        let parts = line.split('\'').enumerate();
        let split = |(at, part): (usize, &str)| match at % 2 {
            0 => part.split_whitespace().map(ToOwned::to_owned).collect(),
            _ => vec![part.to_owned()],
        };
        parts.flat_map(split).collect()
    }

    /// The examples of a command and of all below it, each of which must name the command.
    fn examples(command: &Command) -> Vec<String> {
        let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
        let text = command.get_after_help().unwrap_or_else(|| panic!("{name} has no example")).to_string();
        let lines = text.lines().filter_map(|line| line.strip_prefix("Example: ").or_else(|| line.strip_prefix("  ")));
        let mut found: Vec<_> = lines.filter(|line| line.starts_with("holdfast ")).map(ToOwned::to_owned).collect();
        assert!(found.iter().any(|line| line.starts_with(&name)), "no example of {name}: {text}");
        let below = command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help");
        found.extend(below.flat_map(examples));
        found
    }
}
