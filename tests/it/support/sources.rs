//! The sources of spandrel, for the tests that read them.

use std::fs;
use std::path::{Path, PathBuf};

/// A file of `src`.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its path under `src`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The folder of the project.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of `src`, in the order of their paths.
pub(crate) fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut found = Vec::new();
    walk(&src, &src, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn walk(folder: &Path, src: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("a folder of sources").path();
        if path.is_dir() {
            walk(&path, src, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source is UTF-8");
            let path = path.strip_prefix(src).expect("it lies in src").to_string_lossy();
            found.push(Source { path: path.into_owned(), text });
        }
    }
}
