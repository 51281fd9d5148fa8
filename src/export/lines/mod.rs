//! Lines of JSON, each an OTLP export request, in a file or on standard output.
//!
//! Writing may take as long as the disk or the reader of a pipe likes, so a thread of its own does
//! it. One line is written and one waits; who sends another meanwhile is told to come again. That a
//! line is delivered means that the system has it, not that it is on the disk.

mod file;

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::exporter::{Exporter, Outcome, Packed, Sending, Unfit};
use super::parcel::{Parcel, Signal};
use super::{ExportError, Lines, json};
use file::{Rotated, Stdout};

/// How long a line may take until its sender is told to come again.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many lines wait for the one that is being written.
const WAITING: usize = 1;

/// What lines are written to.
trait Output: Send {
    /// Writes a whole line, its end included, or tells why not.
    fn write(&mut self, line: &[u8]) -> Result<(), String>;
}

/// Gives lines to the thread that writes them.
#[derive(Debug)]
struct Writer {
    name: String,
    to_thread: mpsc::SyncSender<Job>,
    patience: Duration,
}

#[derive(Debug)]
struct Job {
    line: Bytes,
    done: oneshot::Sender<Result<(), String>>,
}

/// The exporter that `lines` asks for.
pub(super) fn connect(lines: &Lines) -> Result<Box<dyn Exporter>, ExportError> {
    let (name, output): (_, Box<dyn Output>) = match &lines.path {
        None => ("standard output".to_owned(), Box::new(Stdout::default())),
        Some(path) => {
            let rotated = Rotated::new(path, lines.max_bytes, lines.max_files);
            (path.display().to_string(), Box::new(rotated))
        }
    };
    match Writer::start(name, output, PATIENCE) {
        Ok(writer) => Ok(Box::new(writer)),
        Err(error) => Err(ExportError::File {
            path: lines.path.clone().unwrap_or_else(|| Path::new("-").to_owned()),
            problem: format!("there is no thread to write it: {error}"),
        }),
    }
}

impl Writer {
    fn start(
        name: String,
        mut output: Box<dyn Output>,
        patience: Duration,
    ) -> std::io::Result<Self> {
        let (to_thread, jobs) = mpsc::sync_channel(WAITING);
        let thread = std::thread::Builder::new().name("lines".to_owned());
        thread.spawn(move || write_all(&jobs, &mut *output))?;
        Ok(Self { name, to_thread, patience })
    }
}

/// Writes what comes until nobody can send any more.
fn write_all(jobs: &mpsc::Receiver<Job>, output: &mut dyn Output) {
    // A line that was written after its sender had given up, who will send it again.
    let mut unheard: Option<Bytes> = None;
    while let Ok(Job { line, done }) = jobs.recv() {
        if done.is_closed() {
            continue;
        }
        let result = match unheard.take() {
            Some(written) if written == line => Ok(()),
            _ => output.write(&line),
        };
        let is_written = result.is_ok();
        if done.send(result).is_err() && is_written {
            unheard = Some(line);
        }
    }
}

impl Exporter for Writer {
    fn takes(&self, _: Signal) -> bool {
        true
    }

    fn pack(&self, parcel: &Parcel) -> Result<Packed, Unfit> {
        let mut line = json::of(parcel)?;
        line.push(b'\n');
        Ok(Packed { signal: parcel.signal, body: line.into() })
    }

    fn send(&self, packed: Packed) -> Sending {
        let (done, is_done) = oneshot::channel();
        let sent = self.to_thread.try_send(Job { line: packed.body, done });
        let (name, patience) = (self.name.clone(), self.patience);
        Box::pin(async move {
            let reason = match sent {
                Err(_) => format!("{name} still takes the lines before: whatever reads it is slow"),
                Ok(()) => match timeout(patience, is_done).await {
                    Ok(Ok(Ok(()))) => {
                        return Outcome::Delivered { rejected: 0, message: String::new() };
                    }
                    Ok(Ok(Err(reason))) => reason,
                    Ok(Err(_)) => format!("the thread that writes {name} has ended"),
                    Err(_) => format!("{name} takes nothing: whatever reads it is stuck"),
                },
            };
            Outcome::Retry { after: None, reason }
        })
    }

    fn url(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests;
