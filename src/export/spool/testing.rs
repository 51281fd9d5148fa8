//! A machine whose disk does what disks do at their worst, for tests: it takes a part of what is
//! written, is full, fails at any call, and forgets what was not synced when the power goes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::super::parcel::{Parcel, Signal};
use super::file_system::{Appended, FileSystem, Listed, Locked};
use super::recovery::Recovered;
use super::store::Spool;
use super::{Config, SpoolError, Stored};

/// A call that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Call {
    Lock,
    List,
    Create,
    Open,
    Append,
    Sync,
    Read,
    Truncate,
    Remove,
    SyncDirectory,
}

impl Call {
    /// Every call.
    pub(super) const ALL: [Self; 10] = [
        Self::Lock,
        Self::List,
        Self::Create,
        Self::Open,
        Self::Append,
        Self::Sync,
        Self::Read,
        Self::Truncate,
        Self::Remove,
        Self::SyncDirectory,
    ];
}

/// A machine. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Machine(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The names as processes see them, and as they are on the disk.
    names: BTreeMap<PathBuf, usize>,
    names_on_disk: BTreeMap<PathBuf, usize>,
    files: Vec<Content>,
    is_locked: bool,
    broken: BTreeSet<Call>,
    /// How many bytes can still be written, if that is bounded.
    room: Option<usize>,
    /// Whether a write takes a part of what it is given only.
    is_short: bool,
    random: u64,
    failed: BTreeMap<Call, usize>,
    calls: BTreeMap<Call, usize>,
}

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// How many of them are on the disk.
    synced: usize,
}

impl State {
    /// A number below `end`, and nobody knows which.
    fn random(&mut self, end: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) as usize % end.max(1)
    }

    fn call(&mut self, call: Call) -> io::Result<()> {
        *self.calls.entry(call).or_default() += 1;
        if self.broken.contains(&call) {
            *self.failed.entry(call).or_default() += 1;
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> io::Result<&mut Content> {
        let file = *self.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(&mut self.files[file])
    }
}

impl Machine {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State { random: seed, ..State::default() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every one of these calls fails from now on.
    pub(super) fn break_down(&self, call: Call) {
        self.state().broken.insert(call);
    }

    /// Nothing fails any more.
    pub(super) fn mend(&self) {
        let mut state = self.state();
        state.broken.clear();
        state.room = None;
        state.is_short = false;
    }

    /// So many bytes can be written from now on; what is removed makes no room.
    pub(super) fn fill_up(&self, room: usize) {
        self.state().room = Some(room);
    }

    /// Writes take a part of what they are given.
    pub(super) fn write_short(&self) {
        self.state().is_short = true;
    }

    /// How often one of these has failed.
    pub(super) fn failed(&self, calls: &[Call]) -> usize {
        let state = self.state();
        calls.iter().filter_map(|call| state.failed.get(call)).sum()
    }

    /// The bytes of all files but the lock.
    pub(super) fn bytes(&self) -> u64 {
        let state = self.state();
        let files = state.names.iter().filter(|(path, _)| !path.ends_with("lock"));
        files.map(|(_, file)| state.files[*file].bytes.len() as u64).sum()
    }

    /// How often this was called.
    pub(super) fn calls(&self, call: Call) -> usize {
        self.state().calls.get(&call).copied().unwrap_or_default()
    }

    /// The process ends at once. Whoever has the lock has it no longer.
    pub(super) fn kill(&self) {
        self.state().is_locked = false;
    }

    /// The machine ends at once: of what was not synced, nobody knows what is left.
    pub(super) fn cut_power(&self) {
        self.kill();
        let mut state = self.state();
        let mut names = BTreeMap::new();
        let all: BTreeSet<PathBuf> =
            state.names.keys().chain(state.names_on_disk.keys()).cloned().collect();
        for path in all {
            let (now, then) = (state.names.get(&path), state.names_on_disk.get(&path));
            let (now, then) = (now.copied(), then.copied());
            let is_lucky = state.random(2) == 0;
            if let Some(file) = if now == then || is_lucky { now } else { then } {
                names.insert(path, file);
            }
        }
        for at in 0..state.files.len() {
            let unsynced = state.files[at].bytes.len() - state.files[at].synced;
            let (left, how) = (state.random(unsynced + 1), state.random(3));
            let file = &mut state.files[at];
            match how {
                // A part is there.
                0 => file.bytes.truncate(file.synced + left),
                // The length is there, of the bytes a part is.
                1 => file.bytes[file.synced + left..].fill(0),
                _ => {}
            }
            file.synced = file.bytes.len();
        }
        state.names_on_disk.clone_from(&names);
        state.names = names;
    }

    /// What a file holds.
    pub(super) fn content(&self, path: &Path) -> Vec<u8> {
        self.state().file(path).map(|file| file.bytes.clone()).unwrap_or_default()
    }

    /// Writes a file as somebody else would.
    pub(super) fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut state = self.state();
        let synced = bytes.len();
        state.files.push(Content { bytes, synced });
        let file = state.files.len() - 1;
        state.names.insert(path.to_owned(), file);
        state.names_on_disk.insert(path.to_owned(), file);
    }

    /// Changes a file behind everybody's back.
    pub(super) fn damage(&self, path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let file = state.file(path).expect("the file is there");
        how(&mut file.bytes);
        file.synced = file.bytes.len();
    }

    /// The names of all files but the lock, in order.
    pub(super) fn names(&self) -> Vec<String> {
        let state = self.state();
        let name = |path: &PathBuf| path.file_name().map(|n| n.to_string_lossy().into_owned());
        state.names.keys().filter_map(name).filter(|name| name != "lock").collect()
    }

    /// The paths of all files that end so.
    pub(super) fn paths(&self, ending: &str) -> Vec<PathBuf> {
        let is_it = |path: &&PathBuf| path.to_string_lossy().ends_with(ending);
        self.state().names.keys().filter(is_it).cloned().collect()
    }

    /// Opens the spool of the destination `otlp`.
    pub(super) fn open(&self, config: &Config, now: u64) -> Result<(Spool, Recovered), SpoolError> {
        Spool::open(Box::new(self.clone()), config, "otlp", now)
    }
}

impl FileSystem for Machine {
    fn create_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Locked>>> {
        let mut state = self.state();
        state.call(Call::Lock)?;
        if std::mem::replace(&mut state.is_locked, true) {
            return Ok(None);
        }
        drop(state);
        if self.state().file(path).is_err() {
            self.put(path, Vec::new());
        }
        Ok(Some(Box::new(Held(self.clone()))))
    }

    fn list(&self, _: &Path) -> io::Result<Vec<Listed>> {
        let mut state = self.state();
        state.call(Call::List)?;
        let listed = state.names.iter().map(|(path, file)| Listed {
            name: path.file_name().expect("a file").to_string_lossy().into_owned(),
            bytes: state.files[*file].bytes.len() as u64,
        });
        Ok(listed.collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Appended>> {
        let mut state = self.state();
        state.call(Call::Create)?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.files.push(Content::default());
        let file = state.files.len() - 1;
        state.names.insert(path.to_owned(), file);
        Ok(Box::new(Handle { machine: self.clone(), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Appended>> {
        self.state().call(Call::Open)?;
        let file = self.state().names.get(path).copied();
        match file {
            Some(file) => Ok(Box::new(Handle { machine: self.clone(), file })),
            None => {
                let mut state = self.state();
                state.files.push(Content::default());
                let file = state.files.len() - 1;
                state.names.insert(path.to_owned(), file);
                Ok(Box::new(Handle { machine: self.clone(), file }))
            }
        }
    }

    fn read(&self, path: &Path, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        state.call(Call::Read)?;
        let bytes = &state.file(path)?.bytes;
        let from = bytes.get(usize::try_from(offset).expect("small")..).unwrap_or_default();
        Ok(from.get(..most).unwrap_or(from).to_vec())
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        let mut state = self.state();
        state.call(Call::Truncate)?;
        let file = state.file(path)?;
        file.bytes.truncate(usize::try_from(length).expect("small"));
        file.synced = file.synced.min(file.bytes.len());
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call(Call::Remove)?;
        state.names.remove(path).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call(Call::SyncDirectory)?;
        let names = state.names.clone();
        state.names_on_disk = names;
        Ok(())
    }
}

/// The lock, while it is held.
#[derive(Debug)]
struct Held(Machine);

impl Locked for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.kill();
    }
}

/// An open file.
#[derive(Debug)]
struct Handle {
    machine: Machine,
    file: usize,
}

impl Appended for Handle {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.machine.state();
        *state.calls.entry(Call::Append).or_default() += 1;
        let mut taken = bytes.len();
        if state.is_short || state.broken.contains(&Call::Append) {
            taken = state.random(taken) + 1;
        }
        taken = taken.min(state.room.unwrap_or(taken));
        if let Some(room) = &mut state.room {
            *room -= taken;
        }
        let file = self.file;
        state.files[file].bytes.extend_from_slice(&bytes[..taken]);
        if state.broken.contains(&Call::Append) && (taken == bytes.len() || state.random(2) == 0) {
            // It fails, and part of it, or all of it, is there.
            *state.failed.entry(Call::Append).or_default() += 1;
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        if taken == 0 {
            *state.failed.entry(Call::Append).or_default() += 1;
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        Ok(taken)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.machine.state();
        state.call(Call::Sync)?;
        let file = &mut state.files[self.file];
        file.synced = file.bytes.len();
        Ok(())
    }
}

/// Settings for tests: small, so that bounds are reached.
pub(super) fn config() -> Config {
    let mut config = Config::new(PathBuf::from("/spool"));
    config.max_bytes = 16 * 1024;
    config.max_age = std::time::Duration::from_millis(10_000);
    config
}

/// The path of a segment of the destination `otlp`.
pub(super) fn segment(number: u64) -> PathBuf {
    super::segment::path(&config().directory_of("otlp"), number)
}

/// The path of the notes on it.
pub(super) fn notes(number: u64) -> PathBuf {
    super::segment::notes_path(&config().directory_of("otlp"), number)
}

/// A parcel that no other is like, whose message has so many bytes, and at least eight.
pub(super) fn parcel(id: u64, bytes: usize) -> Parcel {
    let mut message = id.to_le_bytes().to_vec();
    message.extend((8..bytes).map(|at| (at as u64).wrapping_mul(id + 7).to_le_bytes()[0]));
    let number = usize::try_from(id).expect("small");
    Parcel {
        signal: Signal::ALL[number % 3],
        items: number % 5 + 1,
        has_error: id.is_multiple_of(4),
        message: Bytes::from(message),
    }
}

/// The number that a parcel was made of.
pub(super) fn id(parcel: &Parcel) -> u64 {
    u64::from_le_bytes(*parcel.message.first_chunk().expect("eight bytes"))
}

/// Everything that waits, handed out.
pub(super) fn all(spool: &mut Spool, now: u64) -> Vec<Stored> {
    std::iter::from_fn(|| spool.oldest(now).expect("the disk works")).collect()
}

/// The numbers of what waits, which is handed out.
pub(super) fn ids(spool: &mut Spool, now: u64) -> Vec<u64> {
    let all = all(spool, now);
    for stored in &all {
        let id = id(&stored.parcel);
        assert_eq!(stored.parcel, parcel(id, stored.parcel.message.len()), "as it was put in");
    }
    all.iter().map(|stored| id(&stored.parcel)).collect()
}
