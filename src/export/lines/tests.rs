use super::super::testing;
use super::*;
use crate::trace::resource::Resource;
use crate::trace::span::{Attributes, SpanBatch};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

/// A folder that is removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("spandrel-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder for temporary files");
        Self(path)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).expect("it is there")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("it is there");
        let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("a name");
        let mut names: Vec<_> = entries.map(|entry| name(entry.expect("an entry"))).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("the folder is ours");
    }
}

fn parcel() -> Parcel {
    let mut batch = SpanBatch::default();
    batch.push(testing::span(), &[b"GET"], b"", &Attributes::default());
    let resource = Resource::new(Some("orders"), &[]);
    let message = super::super::Encoder::new(&resource).encode(batch.iter()).into();
    Parcel { signal: Signal::Traces, items: 1, has_error: false, message }
}

fn packed(line: &'static str) -> Packed {
    Packed { signal: Signal::Traces, body: Bytes::from_static(line.as_bytes()) }
}

fn reason(outcome: Outcome) -> String {
    match outcome {
        Outcome::Retry { after: None, reason } => reason,
        other => panic!("{other:?} is no retry"),
    }
}

const TAKEN: Outcome = Outcome::Delivered { rejected: 0, message: String::new() };

#[tokio::test]
async fn each_parcel_is_a_line_that_can_be_read_as_otlp() {
    let folder = Folder::new("lines");
    let path = Some(folder.0.join("spans.jsonl"));
    let exporter = connect(&Lines { path, ..Lines::default() }).expect("a thread");
    assert!(Signal::ALL.iter().all(|signal| exporter.takes(*signal)));
    assert!(exporter.url().ends_with("spans.jsonl"));
    let packed = exporter.pack(&parcel()).expect("it is fit");
    for _ in 0..3 {
        assert_eq!(exporter.send(packed.clone()).await, TAKEN);
    }
    let text = folder.read("spans.jsonl");
    assert!(text.ends_with('\n'));
    assert_eq!(text.lines().count(), 3);
    for line in text.lines() {
        let request: ExportTraceServiceRequest = serde_json::from_str(line).expect("OTLP");
        assert_eq!(request.resource_spans[0].scope_spans[0].spans[0].name, "GET");
    }
}

#[test]
fn a_file_that_is_long_enough_makes_room_for_another() {
    let folder = Folder::new("rotation");
    let mut file = Rotated::new(&folder.0.join("s"), 10, 3);
    for line in ["1111\n", "2222\n", "3333\n", "4444\n", "5555\n", "6666\n", "7777\n"] {
        file.write(line.as_bytes()).expect("there is room");
    }
    assert_eq!(folder.names(), ["s", "s.1", "s.2"], "and what was before is gone");
    assert_eq!(folder.read("s"), "7777\n");
    assert_eq!(folder.read("s.1"), "5555\n6666\n");
    assert_eq!(folder.read("s.2"), "3333\n4444\n");
    file.write(b"a line that is longer than a file\n").expect("it is alone there");
    assert_eq!(folder.read("s"), "a line that is longer than a file\n");
    assert_eq!(folder.read("s.1"), "7777\n");

    let mut only = Rotated::new(&folder.0.join("one"), 10, 1);
    for line in ["1111\n", "2222\n", "3333\n"] {
        only.write(line.as_bytes()).expect("there is room");
    }
    assert_eq!(folder.read("one"), "3333\n");
}

#[test]
fn another_start_goes_on_where_the_last_ended_and_heals_what_a_crash_tore() {
    let folder = Folder::new("torn");
    let path = folder.0.join("s");
    fs::write(&path, "{}\n{\"reso").expect("it can be written");
    Rotated::new(&path, 100, 2).write(b"{}\n").expect("there is room");
    assert_eq!(folder.read("s"), "{}\n{\"reso\n{}\n");
    Rotated::new(&path, 100, 2).write(b"[]\n").expect("there is room");
    assert_eq!(folder.read("s"), "{}\n{\"reso\n{}\n[]\n");
}

#[test]
fn a_file_that_was_moved_away_is_begun_anew() {
    let folder = Folder::new("moved");
    let path = folder.0.join("s");
    let mut file = Rotated::new(&path, 100, 2);
    file.write(b"1\n").expect("there is room");
    fs::rename(&path, folder.0.join("old")).expect("it can be moved");
    file.write(b"2\n").expect("there is room");
    assert_eq!((folder.read("old").as_str(), folder.read("s").as_str()), ("1\n", "2\n"));
}

#[tokio::test]
async fn what_cannot_be_written_is_told_and_kept() {
    let folder = Folder::new("unwritable");
    let missing = folder.0.join("missing").join("s");
    let exporter = connect(&Lines { path: Some(missing), ..Lines::default() }).expect("a thread");
    let told = reason(exporter.send(packed("{}\n")).await);
    assert!(told.contains("make the folder"), "{told}");
    fs::create_dir(folder.0.join("missing")).expect("a folder");
    assert_eq!(exporter.send(packed("{}\n")).await, TAKEN, "as soon as it can be");

    // The device that has no room.
    let full = connect(&Lines { path: Some("/dev/full".into()), ..Lines::default() });
    let told = reason(full.expect("a thread").send(packed("{}\n")).await);
    assert!(told.contains("no room for /dev/full"), "{told}");

    let path = folder.0.join("folder");
    fs::create_dir(&path).expect("a folder");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o500)).expect("it is ours");
    let told = Rotated::new(&path, 1, 1).write(b"{}\n").expect_err("it is a folder");
    assert!(told.contains("cannot be written"), "{told}");
}

/// Takes lines when it is told to.
struct Gate {
    open: mpsc::Receiver<()>,
    written: mpsc::Sender<Vec<u8>>,
}

impl Output for Gate {
    fn write(&mut self, line: &[u8]) -> Result<(), String> {
        self.open.recv().map_err(|_| "closed".to_owned())?;
        self.written.send(line.to_vec()).map_err(|_| "nobody looks".to_owned())
    }
}

fn gate(patience: Duration) -> (Writer, mpsc::Sender<()>, mpsc::Receiver<Vec<u8>>) {
    let ((opener, open), (written, lines)) = (mpsc::channel(), mpsc::channel());
    let gate = Box::new(Gate { open, written });
    (Writer::start("a pipe".to_owned(), gate, patience).expect("a thread"), opener, lines)
}

#[tokio::test]
async fn a_reader_that_is_stuck_holds_nobody_up_and_gets_no_line_twice() {
    let (writer, opener, lines) = gate(Duration::from_millis(20));
    let told = reason(writer.send(packed("1\n")).await);
    assert!(told.contains("a pipe takes nothing"), "{told}");
    // The first is still being written; one may wait, and the next is sent away at once.
    let waiting = writer.send(packed("2\n"));
    let told = reason(writer.send(packed("3\n")).await);
    assert!(told.contains("still takes the lines before"), "{told}");
    // Whoever waited in vain is not there any more when it would be their turn.
    drop(waiting);
    opener.send(()).expect("the thread lives");
    assert_eq!(lines.recv().expect("the thread lives"), b"1\n");
    // Sent again, the first is taken for written.
    let again = loop {
        match writer.send(packed("1\n")).await {
            Outcome::Delivered { .. } => break true,
            // The thread is about to look for the next.
            Outcome::Retry { reason, .. } if reason.contains("before") => {
                tokio::task::yield_now().await;
            }
            other => panic!("{other:?}"),
        }
    };
    assert!(again);
    opener.send(()).expect("the thread lives");
    assert_eq!(writer.send(packed("2\n")).await, TAKEN);
    assert_eq!(lines.recv().expect("the thread lives"), b"2\n");
    assert!(lines.try_recv().is_err(), "nothing was written twice");
}

#[tokio::test]
async fn a_thread_that_has_ended_is_told_of() {
    let (writer, opener, _lines) = gate(PATIENCE);
    drop(opener);
    let told = reason(writer.send(packed("1\n")).await);
    assert_eq!(told, "closed");
}
