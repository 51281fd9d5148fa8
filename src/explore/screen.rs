//! Text for a terminal: how wide it is, what fits, and what must not reach it.
//!
//! Names come from strangers. A name may be in any script, but it cannot move the cursor, change
//! colours, turn the direction of writing, or hide.

use std::io::IsTerminal;

use crate::analysis::words::steers;

/// The columns of output that is no terminal's.
const USUAL_COLUMNS: usize = 100;

/// The fewest columns that anything is laid out for; a narrower terminal breaks lines.
const LEAST_COLUMNS: usize = 60;

/// The most columns that anything is laid out for.
const MOST_COLUMNS: usize = 400;

/// Stands for a character that is not shown.
const UNSHOWN: char = '\u{fffd}';

/// Stands for what did not fit.
const CUT: char = '…';

/// What the output is shown on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    columns: usize,
    is_coloured: bool,
}

/// The colours that text can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    /// For what needs looking at.
    Red,
    /// For the critical path.
    Yellow,
    /// For headings.
    Bold,
    /// For what matters less.
    Faint,
}

impl Screen {
    /// A screen of so many columns, within reason, with or without colours.
    #[must_use]
    pub fn new(columns: usize, is_coloured: bool) -> Self {
        Self { columns: columns.clamp(LEAST_COLUMNS, MOST_COLUMNS), is_coloured }
    }

    /// What standard output goes to: a terminal of its width, in colours unless they are not
    /// wanted (`NO_COLOR`), or else 100 columns without.
    #[must_use]
    pub fn of_output(wants_colours: bool) -> Self {
        let output = std::io::stdout();
        if !output.is_terminal() {
            return Self::new(USUAL_COLUMNS, false);
        }
        let columns = rustix::termios::tcgetwinsize(&output).map_or(0, |size| size.ws_col);
        let columns = if columns == 0 { USUAL_COLUMNS } else { usize::from(columns) };
        Self::new(columns, wants_colours)
    }

    /// How many columns there are.
    pub(super) const fn columns(self) -> usize {
        self.columns
    }

    /// The text in a colour, where there are any.
    pub(super) fn paint(self, colour: Colour, text: &str) -> String {
        if !self.is_coloured || text.is_empty() {
            return text.to_owned();
        }
        let code = match colour {
            Colour::Red => "31",
            Colour::Yellow => "33",
            Colour::Bold => "1",
            Colour::Faint => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// The text with nothing in it that does more than show itself.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|c| if steers(c) { UNSHOWN } else { c }).collect()
}

/// The same for a text of several lines.
pub(super) fn harmless_lines(text: &str) -> String {
    text.chars().map(|c| if c != '\n' && steers(c) { UNSHOWN } else { c }).collect()
}

/// A value as JSON for machines, a member in a line; it does no harm on a terminal either.
pub(super) fn json(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("names and numbers are always JSON");
    harmless_json(&text) + "\n"
}

/// JSON in which what is harmful is escaped.
fn harmless_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        // Line breaks stand only between the values: those within a text are escaped already.
        if c == '\n' || !steers(c) {
            safe.push(c);
        } else {
            let mut units = [0; 2];
            safe.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    safe
}

/// The text in exactly so many columns: cut, or filled with spaces behind.
pub(super) fn left(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    let fill = columns.saturating_sub(width(&text));
    text + &" ".repeat(fill)
}

/// The text in exactly so many columns: cut, or filled with spaces before.
pub(super) fn right(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    " ".repeat(columns.saturating_sub(width(&text))) + &text
}

/// The text without its end, where it does not fit.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut room = columns.saturating_sub(1);
    let fitting = text.chars().take_while(|c| {
        let fits = char_width(*c) <= room;
        room = room.saturating_sub(char_width(*c));
        fits
    });
    let mut short: String = fitting.collect();
    if columns > 0 {
        short.push(CUT);
    }
    short
}

/// The words of a text in lines that fit, each after `indent` spaces.
pub(super) fn wrapped(text: &str, indent: usize, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let fits = |line: &String| width(line) + 1 + width(word) <= columns;
        match lines.last_mut().filter(|line| fits(line)) {
            Some(line) => *line = format!("{line} {word}"),
            None => lines.push(format!("{}{word}", " ".repeat(indent))),
        }
    }
    lines
}

/// How many columns a text takes up.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

fn char_width(c: char) -> usize {
    match c {
        // Marks that join the character before them.
        '\u{300}'..='\u{36f}'
        | '\u{483}'..='\u{489}'
        | '\u{591}'..='\u{5bd}'
        | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}'
        | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{fe20}'..='\u{fe2f}' => 0,
        // The wide characters of East Asia, and emoji.
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{303e}'
        | '\u{3041}'..='\u{a4cf}'
        | '\u{a960}'..='\u{a97f}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_a_stranger_controls_the_terminal() {
        let name = "a\x1b[31m\u{9b}2J\u{202e}b\r\n\t\0\x7f\u{200b}\u{e0041}中é";
        assert_eq!(
            harmless(name),
            "a\u{fffd}[31m\u{fffd}2J\u{fffd}b\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}中é"
        );
        assert_eq!(harmless_lines("a\nb\x1b"), "a\nb\u{fffd}");
        assert_eq!(harmless("plain / text"), "plain / text");
    }

    #[test]
    fn json_says_the_same_without_harm() {
        let name = "\x1b\u{9b}\u{202e}\x7f\u{e0041}中\n";
        let json = serde_json::to_string_pretty(&[name]).unwrap();
        let safe = harmless_json(&json);
        assert_eq!(safe, "[\n  \"\\u001b\\u009b\\u202e\\u007f\\udb40\\udc41中\\n\"\n]");
        assert_eq!(serde_json::from_str::<Vec<String>>(&safe).unwrap(), [name]);
    }

    #[test]
    fn texts_fill_their_columns_exactly() {
        for (text, fitted) in [
            ("", "      "),
            ("abc", "abc   "),
            ("abcdef", "abcdef"),
            ("abcdefg", "abcde…"),
            ("中文字", "中文字"),
            ("中文字典", "中文… "),
            ("e\u{301}te\u{301}", "e\u{301}te\u{301}   "),
        ] {
            assert_eq!(left(text, 6), fitted);
            assert_eq!(width(&left(text, 6)), 6);
            assert_eq!(width(&right(text, 6)), 6);
        }
        assert_eq!(right("12ms", 6), "  12ms");
        assert_eq!((left("abc", 0), left("abc", 1)), (String::new(), "…".to_owned()));
    }

    #[test]
    fn lines_are_broken_between_words() {
        let lines = wrapped("one two  three\nfour", 2, 9);
        assert_eq!(lines, ["  one two", "  three", "  four"]);
        assert_eq!(wrapped("unbreakable", 2, 5), ["  unbreakable"]);
        assert_eq!(wrapped("", 2, 5), [""; 0]);
    }

    #[test]
    fn colours_are_only_for_who_wants_them() {
        assert_eq!(Screen::new(80, false).paint(Colour::Red, "a"), "a");
        assert_eq!(Screen::new(80, true).paint(Colour::Red, "a"), "\x1b[31ma\x1b[0m");
        assert_eq!(Screen::new(80, true).paint(Colour::Red, ""), "");
    }

    #[test]
    fn a_screen_has_a_width_that_can_be_used() {
        let widths = [0, 80, usize::MAX].map(|columns| Screen::new(columns, false).columns());
        assert_eq!(widths, [LEAST_COLUMNS, 80, MOST_COLUMNS]);
    }
}
