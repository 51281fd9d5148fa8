//! What a server of traces answers, for the fuzz targets: there only when they are built.

use super::screen::Screen;
use super::{answer, show};
use crate::analysis::report::Report;

/// The trace that an answer holds, as it is drawn and as it is written for machines.
///
/// # Errors
/// With what is wrong, when the answer is none, or tells of a failure.
pub fn trace(body: &[u8], columns: usize) -> Result<Option<(String, String)>, String> {
    let spans = answer::spans(body)?;
    let Some(id) = spans.first().map(|span| span.facts.trace_id) else { return Ok(None) };
    let drawn = show::drawn(id, &spans, Screen::new(columns, false));
    Ok(Some((drawn, super::screen::json(&Report::of(id, spans, 0)))))
}

/// The services that an answer names.
///
/// # Errors
/// With what is wrong, when the answer is none.
pub fn services(body: &[u8]) -> Result<Vec<String>, String> {
    answer::services(body)
}

/// What an answer says is wrong.
#[must_use]
pub fn problem(body: &[u8]) -> Option<String> {
    answer::problem(body)
}
