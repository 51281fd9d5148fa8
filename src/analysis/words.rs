//! Numbers and names as people read them, for the texts of the analysis and what shows them.

/// The most characters of a name that are shown; the rest is an ellipsis.
pub const MOST_OF_A_NAME: usize = 80;

/// A duration in nanoseconds with the unit that suits it and no more than three digits: `412 ms`,
/// `1.24 s`, `86 µs`; from a minute on two units: `2 min 5 s`, `3 h 20 min`.
#[must_use]
pub fn duration(nanoseconds: u64) -> String {
    const UNITS: [(u64, u64, &str); 4] =
        [(1, 1_000, "ns"), (1_000, 1_000, "µs"), (1_000_000, 1_000, "ms"), (SECOND, 60, "s")];
    let fitting = UNITS.into_iter().find_map(|(unit, most, name)| {
        Some(format!("{} {name}", three_digits(nanoseconds, unit, most)?))
    });
    fitting.unwrap_or_else(|| {
        let seconds = rounded(nanoseconds.into(), SECOND.into());
        match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
            (0, minutes, 0) => format!("{minutes} min"),
            (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
            (hours, 0, _) => format!("{hours} h"),
            (hours, minutes, _) => format!("{hours} h {minutes} min"),
        }
    })
}

/// How much of `whole` the `part` is: `88 %`, below a tenth with one decimal: `0.4 %`. What is
/// not quite nothing is not shown as nothing: `<0.1 %`.
#[must_use]
pub fn share(part: u64, whole: u64) -> String {
    let (part, whole) = (u128::from(part), u128::from(whole).max(1));
    let tenths = rounded(part * 1_000, whole);
    match (tenths / 10, tenths % 10) {
        (0, 0) if part > 0 => "<0.1 %".to_owned(),
        (percent, 0) => format!("{percent} %"),
        (percent @ 0..10, tenths) => format!("{percent}.{tenths} %"),
        _ => format!("{} %", rounded(part * 100, whole)),
    }
}

/// A number of things: `1 call`, `12 calls`.
#[must_use]
pub fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// A name that somebody gave, safe to show in a line of text: neither long nor empty, and without
/// characters that steer a terminal or the direction of writing.
#[must_use]
pub fn name(given: &str) -> String {
    let mut characters = given.chars().map(|c| if steers(c) { ' ' } else { c });
    let mut shown: String = characters.by_ref().take(MOST_OF_A_NAME).collect();
    if characters.next().is_some() {
        shown.pop();
        shown.push('…');
    }
    if shown.trim().is_empty() { "(no name)".to_owned() } else { shown }
}

/// Whether a character controls a terminal, or the writing around it, without being seen.
#[must_use]
pub fn steers(character: char) -> bool {
    let is_invisible = matches!(
        character,
        '\u{ad}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    );
    is_invisible || character.is_control()
}

const SECOND: u64 = 1_000_000_000;

/// The value in that unit, with as many decimals as three digits leave room for; `None` where it
/// reaches `most` of them.
fn three_digits(value: u64, unit: u64, most: u64) -> Option<String> {
    let (value, unit) = (u128::from(value), u128::from(unit));
    let scales: &[u128] = if unit == 1 { &[1] } else { &[100, 10, 1] };
    scales.iter().find_map(|scale| {
        let scaled = rounded(value * scale, unit);
        let fits = scaled < 1_000 && scaled < u128::from(most) * scale;
        fits.then(|| decimal(scaled, *scale))
    })
}

/// `scaled` divided by `scale`, which is a power of ten, without zeros at the end.
fn decimal(scaled: u128, scale: u128) -> String {
    let (whole, rest) = (scaled / scale, scaled % scale);
    let rest = match scale {
        100 if !rest.is_multiple_of(10) => format!(".{rest:02}"),
        100 if rest > 0 => format!(".{}", rest / 10),
        10 if rest > 0 => format!(".{rest}"),
        _ => String::new(),
    };
    format!("{whole}{rest}")
}

const fn rounded(value: u128, unit: u128) -> u128 {
    (value + unit / 2) / unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        for (nanoseconds, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1 µs"),
            (86_000, "86 µs"),
            (999_499, "999 µs"),
            (999_500, "1 ms"),
            (1_500_000, "1.5 ms"),
            (1_050_000, "1.05 ms"),
            (9_999_000, "10 ms"),
            (12_340_000, "12.3 ms"),
            (412_000_000, "412 ms"),
            (1_239_999_999, "1.24 s"),
            (59_940_000_000, "59.9 s"),
            (59_990_000_000, "1 min"),
            (125_000_000_000, "2 min 5 s"),
            (3_600_000_000_000, "1 h"),
            (12_000_000_000_000, "3 h 20 min"),
            (u64::MAX, "5124095 h 34 min"),
        ] {
            assert_eq!(duration(nanoseconds), text);
        }
    }

    #[test]
    fn shares_keep_what_is_small() {
        for (part, whole, text) in [
            (450, 512, "88 %"),
            (0, 7, "0 %"),
            (0, 0, "0 %"),
            (1, 1_000_000, "<0.1 %"),
            (4, 1_000, "0.4 %"),
            (5, 100, "5 %"),
            (99, 1_000, "9.9 %"),
            (125, 1_000, "13 %"),
            (7, 7, "100 %"),
            (u64::MAX, u64::MAX, "100 %"),
        ] {
            assert_eq!(share(part, whole), text);
        }
    }

    #[test]
    fn one_thing_is_no_plural() {
        assert_eq!(
            [count(0, "call"), count(1, "call"), count(2, "call")],
            ["0 calls", "1 call", "2 calls"]
        );
    }

    #[test]
    fn names_stay_in_their_line() {
        assert_eq!(name("POST /charge"), "POST /charge");
        assert_eq!(name("a\u{1b}[31m\nb\u{202e}"), "a [31m b ");
        assert_eq!(name(""), "(no name)");
        assert_eq!(name(&"ä".repeat(80)), "ä".repeat(80));
        assert_eq!(name(&"ä".repeat(81)), format!("{}…", "ä".repeat(79)));
    }
}
