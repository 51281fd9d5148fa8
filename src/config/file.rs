//! The file of settings: YAML text to what it gives for which key, and on which line.
//!
//! Groups become dotted keys (`listen` under `inbound` is `inbound.listen`). What is not a known
//! key, stands twice or is nested deeper than any setting is refused. Aliases and tags are
//! refused too: a setting says what it says. The parser is asked for one event at a time, so
//! that neither memory nor stack grows with the nesting of the text.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::problem::{ConfigError, Origin};
use super::settings::{self, Setting};
use super::value::Raw;
use super::values::Given;

/// The largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// How deep collections may be nested: groups, lists and maps together.
const MAX_DEPTH: usize = 8;

/// Reads the settings that the file at `path` gives, and adds to `problems` what is wrong with it.
pub(super) fn read(path: &Path, problems: &mut ConfigError) -> Vec<Given> {
    let name = path.display().to_string();
    match text_of(path) {
        Ok(text) => parse(&name, &text, problems),
        Err(problem) => {
            problems.push(format!("{name}: {problem}"));
            Vec::new()
        }
    }
}

fn text_of(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|e| format!("the file cannot be read: {e}"))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE_BYTES) {
        return Err(format!("the file is larger than the {MAX_FILE_BYTES} bytes that are read"));
    }
    String::from_utf8(bytes).map_err(|e| {
        let before = e.as_bytes().iter().take(e.utf8_error().valid_up_to());
        let line = before.filter(|b| **b == b'\n').count() + 1;
        format!("line {line} is not UTF-8, save the file in that encoding")
    })
}

/// Reads the settings in `text`, the content of the file called `name`.
pub(super) fn parse(name: &str, text: &str, problems: &mut ConfigError) -> Vec<Given> {
    // The parser takes a NUL for the end of the text and would pass over what follows.
    if let Some((before, _)) = text.split_once('\0') {
        let line = before.matches('\n').count() + 1;
        problems.push(format!("{name}:{line}: the file contains a NUL byte, take it out"));
        return Vec::new();
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        name,
        given: Vec::new(),
        seen: BTreeSet::new(),
        problems,
    };
    if let Err(Stop { line, text }) = reader.stream() {
        reader.problems.push(format!("{name}:{line}: {text}"));
        return Vec::new();
    }
    reader.given
}

struct Reader<'a, 'p> {
    parser: Parser<'a, StrInput<'a>>,
    name: &'a str,
    given: Vec<Given>,
    /// The dotted keys and groups that have been met.
    seen: BTreeSet<String>,
    problems: &'p mut ConfigError,
}

/// What makes the rest of the file unreadable.
struct Stop {
    line: usize,
    text: String,
}

impl From<ScanError> for Stop {
    fn from(error: ScanError) -> Self {
        Self { line: error.marker().line(), text: format!("not valid YAML: {}", error.info()) }
    }
}

impl Stop {
    fn at(span: Span, text: &str) -> Self {
        Self { line: span.start.line(), text: text.to_owned() }
    }
}

impl<'a> Reader<'a, '_> {
    fn stream(&mut self) -> Result<(), Stop> {
        let mut has_document = false;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(()),
                Event::DocumentStart(_) if has_document => {
                    return Err(Stop::at(span, "only one YAML document may stand in the file"));
                }
                Event::DocumentStart(_) => {
                    has_document = true;
                    self.document()?;
                }
                _ => {}
            }
        }
    }

    fn document(&mut self) -> Result<(), Stop> {
        match self.next()? {
            (Event::MappingStart(..), _) => self.group("", 1),
            (Event::Scalar(text, ScalarStyle::Plain, ..), _) if is_null(&text) => Ok(()),
            (_, span) => Err(Stop::at(span, "expected settings such as `workers: 1`")),
        }
    }

    /// Reads what stands under the group `path`, after its start.
    fn group(&mut self, path: &str, depth: usize) -> Result<(), Stop> {
        loop {
            let (event, span) = self.next()?;
            let name = match event {
                Event::MappingEnd => return Ok(()),
                Event::Scalar(name, ..) => name,
                _ => return Err(Stop::at(span, "expected the name of a setting")),
            };
            let key = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
            self.member(&key, span.start.line(), depth)?;
        }
    }

    /// Reads the value of `key`, which is a setting, a group or unknown.
    fn member(&mut self, key: &str, line: usize, depth: usize) -> Result<(), Stop> {
        let is_new = self.seen.insert(key.to_owned());
        if !is_new {
            self.refuse(line, key, "this key stands twice, keep one of them");
            return self.skip(depth);
        }
        if let Some(setting) = Setting::find(key) {
            let origin = Origin::File { file: self.name.to_owned(), line };
            if let Some(raw) = self.value(line, key, depth)? {
                self.given.push(Given { key: key.to_owned(), setting, raw: Ok(raw), origin });
            }
            return Ok(());
        }
        if !settings::is_group(key) {
            let meant = settings::suggestion(key, settings::keys_and_groups(key));
            self.refuse(line, key, &format!("unknown key{meant}"));
            return self.skip(depth);
        }
        match self.next()? {
            (Event::MappingStart(..), span) => {
                let depth = deeper(depth, span)?;
                self.group(key, depth)
            }
            (Event::Scalar(text, ScalarStyle::Plain, ..), _) if is_null(&text) => Ok(()),
            (event, _) => {
                self.refuse(line, key, "expected settings under this key, found a value");
                self.skip_rest(&event, depth)
            }
        }
    }

    /// Reads the value of a setting; `None` if it is refused.
    fn value(&mut self, line: usize, key: &str, depth: usize) -> Result<Option<Raw>, Stop> {
        let (event, span) = self.next()?;
        match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) if is_null(&text) => {
                let without = "expected a value, found nothing: leave the key out for its default";
                self.refuse(line, key, without);
                Ok(None)
            }
            Event::Scalar(text, ..) => Ok(Some(Raw::One(text.into_owned()))),
            Event::SequenceStart(..) => {
                let depth = deeper(depth, span)?;
                self.list(line, key, depth)
            }
            _ => {
                let depth = deeper(depth, span)?;
                self.map(line, key, depth)
            }
        }
    }

    fn list(&mut self, line: usize, key: &str, depth: usize) -> Result<Option<Raw>, Stop> {
        let mut items = Vec::new();
        let mut is_flat = true;
        loop {
            match self.next()?.0 {
                Event::SequenceEnd if is_flat => return Ok(Some(Raw::List(items))),
                Event::SequenceEnd => {
                    self.refuse(line, key, "expected texts in this list, found a list or a map");
                    return Ok(None);
                }
                Event::Scalar(text, ..) => items.push(text.into_owned()),
                other => {
                    is_flat = false;
                    self.skip_rest(&other, depth)?;
                }
            }
        }
    }

    fn map(&mut self, line: usize, key: &str, depth: usize) -> Result<Option<Raw>, Stop> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut names = BTreeSet::new();
        let mut is_good = true;
        loop {
            let (event, span) = self.next()?;
            let name = match event {
                Event::MappingEnd => return Ok(is_good.then_some(Raw::Map(pairs))),
                Event::Scalar(name, ..) => name.into_owned(),
                _ => return Err(Stop::at(span, "expected a name before the colon")),
            };
            if !names.insert(name.clone()) {
                let twice =
                    format!("{} stands twice, keep one of them", super::value::quoted(&name));
                self.refuse(span.start.line(), key, &twice);
                is_good = false;
            }
            match self.next()?.0 {
                Event::Scalar(text, ..) => pairs.push((name, text.into_owned())),
                other => {
                    self.refuse(line, key, "expected texts in this map, found a list or a map");
                    is_good = false;
                    self.skip_rest(&other, depth)?;
                }
            }
        }
    }

    /// Passes over the next value.
    fn skip(&mut self, depth: usize) -> Result<(), Stop> {
        let (event, _) = self.next()?;
        self.skip_rest(&event, depth)
    }

    /// Passes over the rest of the value that begins with `event`.
    fn skip_rest(&mut self, event: &Event<'_>, depth: usize) -> Result<(), Stop> {
        let is_start =
            |e: &Event<'_>| matches!(e, Event::MappingStart(..) | Event::SequenceStart(..));
        let is_end = |e: &Event<'_>| matches!(e, Event::MappingEnd | Event::SequenceEnd);
        let mut open = usize::from(is_start(event));
        while open > 0 {
            let (event, span) = self.next()?;
            if is_start(&event) {
                open += 1;
                deeper(depth + open, span)?;
            } else if is_end(&event) {
                open -= 1;
            }
        }
        Ok(())
    }

    /// The next event, of those that a file of settings may have.
    fn next(&mut self) -> Result<(Event<'a>, Span), Stop> {
        let end = || Ok((Event::StreamEnd, Span::default()));
        let (event, span) = self.parser.next_event().unwrap_or_else(end)?;
        match &event {
            Event::Alias(_) => Err(Stop::at(span, "write the value out in place of an alias")),
            Event::Scalar(.., Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                Err(Stop::at(span, "leave out the tag, each setting has one kind of value"))
            }
            _ => Ok((event, span)),
        }
    }

    fn refuse(&mut self, line: usize, key: &str, text: &str) {
        let key = super::value::shortened(key);
        self.problems.push(format!("{}:{line}: {key}: {text}", self.name));
    }
}

fn deeper(depth: usize, span: Span) -> Result<usize, Stop> {
    if depth < MAX_DEPTH {
        Ok(depth + 1)
    } else {
        Err(Stop::at(span, "nested too deeply, no setting is"))
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::testing::{LEAST, effective, environment, load, wrong_file};
    use super::*;

    #[test]
    fn groups_may_be_nested_dotted_or_empty() {
        for yaml in [
            "export:\n  batch:\n    max_queue_size: 600\ntenants:\n",
            "export.batch:\n  max_queue_size: '600'\n",
            "export.batch.max_queue_size: 600",
            "{export: {batch: {max_queue_size: 600}}, tenants: ~}",
        ] {
            let config = load(yaml, &[], &[("inbound.app", "8080")]).unwrap();
            assert_eq!(effective(&config, "export.batch.max_queue_size").0, "600");
        }
    }

    #[test]
    fn an_empty_file_leaves_the_defaults() {
        for yaml in ["", "\n\n", "# nothing\n", "---\n", "\u{feff}# nothing", "~"] {
            let config = load(yaml, &[], &[("inbound.app", "8080")]).unwrap();
            assert_eq!(effective(&config, "workers"), ("1".to_owned(), "default".to_owned()));
        }
    }

    #[test]
    fn a_name_that_is_not_known_is_refused_with_the_nearest() {
        for (yaml, key, meant) in [
            ("inbond: {app: 1}", "inbond", ", did you mean `inbound`?"),
            ("inbound: {apps: 1}", "inbound.apps", ", did you mean `inbound.app`?"),
            ("sampler: always_on", "sampler", ", did you mean `sampling.sampler`?"),
            ("limits: {timeout: 1s}", "limits.timeout", ", did you mean `limits.idle_timeout`?"),
            ("tracing: true", "tracing", ", see config/spandrel.yaml for all there are"),
            ("\"a\\nb\": 1", "a\\nb", ", see config/spandrel.yaml for all there are"),
        ] {
            assert_eq!(wrong_file(yaml), format!("spandrel.yaml:1: {key}: unknown key{meant}"));
        }
    }

    #[test]
    fn what_has_the_wrong_form_is_refused_with_its_line() {
        for (yaml, expected) in [
            ("workers: 2\nworkers: 3", "2: workers: this key stands twice, keep one of them"),
            ("tenants: {}\ntenants: {}", "2: tenants: this key stands twice, keep one of them"),
            ("workers: 1\nworkers.x: 1\n", "2: workers.x: unknown key, did you mean `workers`?"),
            ("workers: [1]", "1: workers: expected a whole number from 1 to 64, found a list"),
            ("workers: {a: 1}", "1: workers: expected a whole number from 1 to 64, found a map"),
            (
                "workers:",
                "1: workers: expected a value, found nothing: leave the key out for its default",
            ),
            ("service: orders", "1: service: expected settings under this key, found a value"),
            ("service: [a]", "1: service: expected settings under this key, found a value"),
            (
                "spans:\n  routes: /a",
                "2: spans.routes: expected a list of which each item is a path that begins with \
                 /, found `/a`",
            ),
            (
                "spans:\n  routes: [/a, b]",
                "2: spans.routes: expected a list of which each item is a path that begins with \
                 /, found `b`",
            ),
            (
                "spans:\n  routes: [[/a]]",
                "2: spans.routes: expected texts in this list, found a list or a map",
            ),
            (
                "service:\n  resource: [a]",
                "2: service.resource: expected a map of attribute names to texts, found a list",
            ),
            (
                "service:\n  resource: {a: [b]}",
                "2: service.resource: expected texts in this map, found a list or a map",
            ),
            (
                "service:\n  resource:\n    a: 1\n    a: 2",
                "4: service.resource: `a` stands twice, keep one of them",
            ),
            (
                "export.otlp:\n  headers: s3cret",
                "2: export.otlp.headers: expected a map of header names to values, found a text",
            ),
            (
                "export.otlp:\n  headers: {a b: s3cret}",
                "2: export.otlp.headers: expected a map of header names to values, found a name \
                 or value that is none",
            ),
            ("- a", "1: expected settings such as `workers: 1`"),
            ("text", "1: expected settings such as `workers: 1`"),
            ("\n[a]: 1", "2: expected the name of a setting"),
            ("workers: &x 1\nadmin: *x", "2: write the value out in place of an alias"),
            ("workers: !!int 1", "1: leave out the tag, each setting has one kind of value"),
            ("workers: 1\n---\nworkers: 1", "2: only one YAML document may stand in the file"),
            ("workers: 1\n\0", "2: the file contains a NUL byte, take it out"),
            (
                "workers: 1\n  - x: {",
                "2: not valid YAML: mapping values are not allowed in this context",
            ),
        ] {
            assert_eq!(wrong_file(yaml), format!("spandrel.yaml:{expected}"), "{yaml}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_before_it_takes_up_anything() {
        let too_deep = "spandrel.yaml:1: nested too deeply, no setting is";
        for before in ["x: ", "workers: ", "spans: {routes: ", "service: {resource: {a: "] {
            let error = wrong_file(&format!("{before}{}", "[".repeat(20)));
            assert_eq!(error.lines().last(), Some(too_deep), "{before}");
            let error = wrong_file(&format!("{before}{}", "[".repeat(500_000)));
            let last = error.lines().last().unwrap_or_default();
            assert!(last.ends_with("recursion limit exceeded"), "{last}");
        }
        let long = "x".repeat(500_000);
        let error = wrong_file(&format!("? {long}\n: 1"));
        assert_eq!(
            error,
            format!(
                "spandrel.yaml:1: {}...: unknown key, see config/spandrel.yaml for all there are",
                "x".repeat(80)
            )
        );
        let error = wrong_file(&format!("workers:\n  {}", "- ".repeat(500_000)));
        assert_eq!(error, too_deep.replace(":1:", ":2:"));
    }

    #[test]
    fn a_file_that_cannot_be_read_says_why() {
        let written = |name: &str, bytes: &[u8]| -> PathBuf {
            let name = format!("spandrel-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let problem = |path: &Path| {
            let loaded = super::super::Config::load(Some(path), &environment(&[]), &[]);
            if path.exists() {
                std::fs::remove_file(path).unwrap();
            }
            let error = loaded.map(|_| ()).unwrap_err().to_string();
            error.strip_prefix(&path.display().to_string()).unwrap().to_owned()
        };
        assert_eq!(
            problem(Path::new("/nowhere/spandrel.yaml")),
            ": the file cannot be read: No such file or directory (os error 2)"
        );
        assert_eq!(
            problem(&written("encoding", b"workers: 1\n# caf\xe9\n")),
            ": line 2 is not UTF-8, save the file in that encoding"
        );
        let large = vec![b'#'; (1 << 20) + 1];
        assert_eq!(
            problem(&written("large", &large)),
            ": the file is larger than the 1048576 bytes that are read"
        );
        let path = written("largest", &large[1..]);
        let flags = [("inbound.app", "8080")];
        assert!(super::super::Config::load(Some(&path), &environment(&[]), &flags).is_ok());
        std::fs::remove_file(path).unwrap();
        assert!(load(LEAST, &[], &[]).is_ok());
    }
}
