//! Giving back the pages of the program that only its start needed.
//!
//! The command line, the configuration and the exporters run through much code that no request
//! comes to again. Its pages stay mapped, and count as memory of ours, for as long as we run. Once
//! they are let go of, the system gives back from the file those that are asked for again.

#![expect(unsafe_code, reason = "what is mapped can be told of by its address only")]

use std::fs;
use std::io;
use std::ops::Range;
use std::ptr;

use rustix::mm::{Advice, madvise};

/// Lets go of the program's pages that are as they stand in their files.
///
/// # Errors
/// Where the system does not tell what is mapped (proc(5)), or does not let go of it; what was
/// mapped before still is.
pub(crate) fn shrink() -> io::Result<()> {
    let smaps = fs::read_to_string("/proc/self/smaps")?;
    for Range { start, end } in unchanged(&smaps) {
        // SAFETY: a mapping of a file that cannot be written to, and has no page that ever was, so
        // what is read from it afterwards is what was read before. Libraries may be loaded
        // meanwhile, but not in its place, as none is ever unloaded.
        unsafe {
            madvise(ptr::with_exposed_provenance_mut(start), end - start, Advice::LinuxDontNeed)?;
        }
    }
    Ok(())
}

/// The mappings of files of which every page is as it stands in the file: those that may not be
/// written to, and have no page of their own, as relocated or patched ones do.
fn unchanged(smaps: &str) -> impl Iterator<Item = Range<usize>> {
    let mut file = None;
    smaps.lines().filter_map(move |line| {
        let mut words = line.split_ascii_whitespace();
        let first = words.next()?;
        if first == "Anonymous:" {
            return file.take().filter(|_| words.next() == Some("0"));
        }
        if !first.ends_with(':') {
            file = read_only_file(first, words.next()?, words.last());
        }
        None
    })
}

/// The addresses of a mapping, if it is of a file and only to be read or run.
fn read_only_file(addresses: &str, permissions: &str, path: Option<&str>) -> Option<Range<usize>> {
    let is_file = path.is_some_and(|path| path.starts_with('/'));
    let (start, end) = addresses.split_once('-')?;
    let address = |digits| usize::from_str_radix(digits, 16).ok();
    let range = address(start)?..address(end)?;
    (is_file && permissions.starts_with('r') && !permissions.contains('w')).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mappings_of_files_that_are_as_they_stand_there_are_let_go_of() {
        let mapping = |line: &str, anonymous: usize| {
            format!("{line}\nSize: 4 kB\nAnonymous: {anonymous} kB\nVmFlags: rd ex mr\n")
        };
        let smaps = [
            mapping("1000-2000 r--p 00000000 fd:00 7 /usr/bin/spandrel", 0),
            mapping("2000-9000 r-xp 00001000 fd:00 7 /usr/bin/spandrel", 0),
            mapping("9000-a000 r--p 00008000 fd:00 7 /usr/bin/spandrel", 4),
            mapping("a000-b000 rw-p 00009000 fd:00 7 /usr/bin/spandrel", 0),
            mapping("b000-c000 r--p 00000000 00:00 0", 0),
            mapping("c000-d000 r-xp 00000000 00:00 0 [vdso]", 0),
            mapping("d000-e000 ---p 00000000 fd:00 8 /usr/lib/libc.so.6", 0),
            mapping("e000-f000 r-xp 00000000 fd:00 8 /usr/lib/lib c.so.6 (deleted)", 0),
        ]
        .concat();
        let found: Vec<_> = unchanged(&smaps).collect();
        assert_eq!(found, [0x1000..0x2000, 0x2000..0x9000]);
    }

    #[test]
    fn what_runs_goes_on_afterwards() {
        let before = resident();
        shrink().expect("Linux tells what is mapped");
        assert!(resident() < before, "{before} kB of files were resident, now {}", resident());
    }

    /// Kilobytes of files that are mapped and in memory.
    fn resident() -> usize {
        let status = fs::read_to_string("/proc/self/status").expect("Linux tells of processes");
        let line = status.lines().find_map(|line| line.strip_prefix("RssFile:"));
        let number = line.and_then(|line| line.split_ascii_whitespace().next());
        number.and_then(|number| number.parse().ok()).expect("a number of kilobytes")
    }
}
