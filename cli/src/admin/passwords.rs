//! Passwords and passphrases: from a file, from standard input, or asked for without echo; never from the command line, which others can see.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use clap::Args;
use zeroize::Zeroizing;

use crate::failure::{Failure, Kind};

/// Where a password comes from.
#[derive(Args, Clone, Debug)]
pub(super) struct PasswordSource {
    /// File that holds the password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Read the password from standard input
    #[arg(long, conflicts_with = "password_file")]
    password_stdin: bool,
}

impl PasswordSource {
    /// From a file or from standard input, if so told.
    pub(super) fn given(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        match (&self.password_file, self.password_stdin) {
            (Some(file), _) => from_file(file).map(Some),
            (None, true) => from_stdin().map(Some),
            (None, false) => Ok(None),
        }
    }

    /// As told, or asked for.
    pub(super) fn given_or_asked(&self, prompt: &str) -> Result<Zeroizing<String>, Failure> {
        match self.given()? {
            Some(password) => Ok(password),
            None => ask(prompt, "--password-file or --password-stdin"),
        }
    }
}

/// A secret that is a file's one line.
pub(crate) fn from_file(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let text = fs::read_to_string(file).map_err(|cause| Failure::file("read", file, &cause))?;
    one_line(&Zeroizing::new(text), &file.display().to_string())
}

/// Asks on the terminal, without echo. `instead` names the flags for where there is none.
pub(crate) fn ask(prompt: &str, instead: &str) -> Result<Zeroizing<String>, Failure> {
    let answer = rpassword::prompt_password(format!("{prompt}: "));
    let answer = answer.map_err(|cause| Failure::of(Kind::Usage, format!("cannot ask for the {prompt}: {cause}; give {instead}")))?;
    one_line(&Zeroizing::new(answer), prompt)
}

/// Asks for a new one, twice.
pub(super) fn ask_twice(prompt: &str, instead: &str) -> Result<Zeroizing<String>, Failure> {
    let first = ask(prompt, instead)?;
    if *ask(&format!("{prompt}, again"), instead)? == *first {
        Ok(first)
    } else {
        Err(Failure::of(Kind::Usage, "the two are not the same"))
    }
}

fn from_stdin() -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let read = io::stdin().lock().read_to_string(&mut text);
    read.map_err(|cause| Failure::new(format!("cannot read standard input: {cause}")))?;
    one_line(&text, "standard input")
}

fn one_line(text: &str, of: &str) -> Result<Zeroizing<String>, Failure> {
    let line = text.trim_end_matches(['\r', '\n']);
    if line.is_empty() {
        return Err(Failure::of(Kind::Usage, format!("{of}: nothing there")));
    }
    if line.contains(['\r', '\n']) {
        return Err(Failure::of(Kind::Usage, format!("{of}: must be one line")));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_line_without_its_end() {
        let read = |text: &str| one_line(text, "file").map(|line| line.to_string()).ok();
        assert_eq!(read("open sesame \r\n").as_deref(), Some("open sesame "));
        assert_eq!(read("\n"), None);
        assert_eq!(read("a\nb\n"), None);
    }
}
