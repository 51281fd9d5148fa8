//! The program as a process: what it is started with, what it says, and how it ends.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;

use super::PATIENCE;

/// The program as it runs; it is killed with this.
pub(crate) struct Program {
    child: Child,
    out: Lines,
    err: Lines,
}

/// What a program has left behind, but for the lines that a test has waited for.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: Vec<String>,
}

/// The lines of one output.
struct Lines(Receiver<String>);

impl Program {
    /// Starts it with these arguments and variables, and no other variables of its own.
    pub(crate) fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = spawn(arguments, variables, Stdio::piped());
        let out = Lines::of(child.stdout.take().expect("it is piped"));
        let err = Lines::of(child.stderr.take().expect("it is piped"));
        Self { child, out, err }
    }

    /// Starts it with these arguments, where nobody reads its standard output.
    pub(crate) fn start_unread(arguments: &[&str]) -> Self {
        let (_gone, pipe) = std::io::pipe().expect("a pipe");
        let mut child = spawn(arguments, &[], pipe.into());
        let err = Lines::of(child.stderr.take().expect("it is piped"));
        Self { child, out: Lines::of(std::io::empty()), err }
    }

    /// The next line of standard error that contains `text`.
    pub(crate) fn line(&self, text: &str) -> String {
        self.err.until(text).pop().expect("it ends with that line")
    }

    /// The next lines of standard output, up to the one that contains `text`.
    pub(crate) fn output(&self, text: &str) -> Vec<String> {
        self.out.until(text)
    }

    /// Sends a signal, by name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let killed = Command::new("kill").args([name, &id]).status().expect("there is `kill`");
        assert!(killed.success());
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Left {
        let err = self.err.rest();
        let out = self.out.rest().iter().map(|line| format!("{line}\n")).collect();
        let code = self.child.wait().expect("it runs").code();
        Left { code, out, err }
    }
}

fn spawn(arguments: &[&str], variables: &[(&str, &str)], out: Stdio) -> Child {
    Command::new(env!("CARGO_BIN_EXE_spandrel"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program is built")
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Lines {
    fn of(output: impl Read + Send + 'static) -> Self {
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let sent = line.ok().map(|line| sender.send(line));
                if !matches!(sent, Some(Ok(()))) {
                    break;
                }
            }
        });
        Self(lines)
    }

    /// The next lines, up to the one that contains `text`.
    fn until(&self, text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            match self.0.recv_timeout(PATIENCE) {
                Ok(line) => seen.push(line),
                Err(error) => panic!("no line with {text}, {error}: {seen:#?}"),
            }
            if seen.last().is_some_and(|line| line.contains(text)) {
                return seen;
            }
        }
    }

    /// All lines that are still to come.
    fn rest(&self) -> Vec<String> {
        let mut rest = Vec::new();
        loop {
            match self.0.recv_timeout(PATIENCE) {
                Ok(line) => rest.push(line),
                Err(RecvTimeoutError::Disconnected) => return rest,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {rest:#?}"),
            }
        }
    }
}
