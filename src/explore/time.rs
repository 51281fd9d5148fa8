//! Points and lengths of time in words.

use std::time::{Duration, UNIX_EPOCH};

const MICROSECOND: u64 = 1_000;
const SECOND: u64 = 1_000_000 * MICROSECOND;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A length of time in nanoseconds; the longest there is where it is longer.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// How long ago a point in time was, in its greatest unit: `5m`. What is yet to come is `0s`.
pub(super) fn age(now: u64, then: u64) -> String {
    let age = now.saturating_sub(then);
    let units = [(DAY, "d"), (HOUR, "h"), (MINUTE, "m")];
    let unit = units.iter().find(|(unit, _)| age >= *unit).unwrap_or(&(SECOND, "s"));
    format!("{}{}", age / unit.0, unit.1)
}

/// A point in time as RFC 3339 has it, in UTC, to the microsecond.
pub(super) fn rfc3339(nanoseconds: u64) -> String {
    let moment = UNIX_EPOCH + Duration::from_nanos(nanoseconds);
    humantime::format_rfc3339_micros(moment).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_in_time_are_as_other_programs_write_them() {
        // By GNU date: date -u -d @... +%FT%TZ
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (951_868_800, "2000-03-01T00:00:00.000000Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000000Z"),
            (1_767_225_599, "2025-12-31T23:59:59.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
            (18_446_744_073, "2554-07-21T23:34:33.000000Z"),
        ] {
            assert_eq!(rfc3339(seconds * SECOND), text);
        }
        assert_eq!(rfc3339(1_234_567), "1970-01-01T00:00:00.001234Z");
    }

    #[test]
    fn ages_are_told_in_one_unit() {
        let texts =
            [0, 999, 1_000, 59_999, 60_000, 3_600_000, 86_399_999, 86_400_000, 8_640_000_000]
                .map(|milliseconds| age(DAY * 1_000, DAY * 1_000 - milliseconds * 1_000_000));
        assert_eq!(texts, ["0s", "0s", "1s", "59s", "1m", "1h", "23h", "1d", "100d"]);
        assert_eq!(age(1, SECOND * 9), "0s");
    }
}
