//! Route templates, and the paths that strangers ask for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::trace::route::Routes;

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.split(|b| *b == b'\n');
    let path = lines.next().unwrap_or_default();
    let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
    let templates: Vec<String> = lines.take(16).map(text).collect();
    let Ok(routes) = Routes::new(&templates) else { return };
    if let Some(found) = routes.find(path) {
        assert!(templates.iter().any(|template| **template == **found));
        let is_plain = |c: char| !matches!(c, '{' | '}');
        if found.chars().all(is_plain) {
            assert_eq!(found.as_bytes(), path);
        }
    }
    for template in templates.iter().filter(|t| !t.contains(['{', '}'])) {
        assert_eq!(routes.find(template.as_bytes()).map(|r| &**r), Some(template.as_str()));
    }
});
