//! Times by the clock: five fields of cron, in a time zone. Which time comes next after another is the same on every machine:
//! the time zones are those that this program was built with, never the machine's.
//!
//! Where clocks change, a time that is left out comes when the clock goes on, and one that comes twice is taken the first time.
//! What comes in every hour (`*` is its second field) goes on as time does: an hour that is left out has none of it, and one that
//! comes twice has it twice.

use cronexpr::{Crontab, FallbackTimezoneOption, ParseOptions, parse_crontab_with};
use factfold_schemas::{
    command::NOT_BEFORE_MAX,
    functions::{Rejection, ScheduleField},
};
use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase},
};

/// The most bytes of the five fields.
const FIELDS_BYTES_MAX: usize = 200;
/// The most characters of what is said of a mistake.
const DETAIL_CHARS_MAX: usize = 200;
/// Whoever is asked for what comes after this year says nothing: the calendar ends soon after.
const LAST_YEAR: i16 = 9990;
/// On how many days to come a schedule is looked at before it is taken.
const DAYS_LOOKED_AT: usize = 64;

/// Times by the clock.
#[derive(Debug, Clone)]
pub(crate) struct Cron {
    /// As the clock on the wall shows them.
    times: Crontab,
    zone: TimeZone,
    is_of_every_hour: bool,
}

impl Cron {
    /// Reads it; or says what is wrong with which of the two.
    pub(crate) fn read(cron: &str, time_zone: &str) -> Result<Self, Rejection> {
        if cron.len() > FIELDS_BYTES_MAX {
            return Err(invalid(ScheduleField::Cron, "it has at most 200 characters"));
        }
        let fields: Vec<_> = cron.split_ascii_whitespace().collect();
        let [_, hours, _, _, _] = fields[..] else {
            return Err(invalid(ScheduleField::Cron, "it has five fields, as `0 6 * * MON-FRI`"));
        };
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let times = parse_crontab_with(&fields.join(" "), options)
            .map_err(|error| invalid(ScheduleField::Cron, told(&error.to_string())))?;
        let unknown =
            |_| invalid(ScheduleField::TimeZone, "there is none of this name: say `Europe/Berlin`, or `UTC`");
        let zone = TimeZoneDatabase::bundled().get(time_zone).map_err(unknown)?;
        Ok(Self { times, zone, is_of_every_hour: hours == "*" })
    }

    /// Refuses what does not come at least once a year: no timer waits for longer than that.
    pub(crate) fn check(&self, now: Timestamp) -> Result<(), Rejection> {
        let (mut last, mut after) = (now, now);
        for _ in 0..DAYS_LOOKED_AT {
            let next = self.next(after).filter(|next| next.duration_since(last) <= NOT_BEFORE_MAX);
            let Some(next) = next else {
                return Err(invalid(ScheduleField::Cron, "it must come at least once in 366 days"));
            };
            // What else comes on that day is passed over: it is days that are far apart.
            (last, after) = (next, self.end_of_day(next));
        }
        Ok(())
    }

    /// The first time after this one; `None` where there is none in the next four years.
    pub(crate) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let by_the_clock = self.by_the_clock(after)?;
        if !self.is_of_every_hour {
            return Some(by_the_clock);
        }
        // As if no clock were ever changed: where this one is, that brings times which it shows once more.
        let offset = self.zone.to_offset(after);
        let going_on = offset.to_timestamp(self.shown_next(offset.to_datetime(after))?).ok()?;
        let is_shown = self.is_among(self.zone.to_datetime(going_on));
        Some(if is_shown { going_on.min(by_the_clock) } else { by_the_clock })
    }

    /// The first time after this one of all that the clock shows, each taken once. Of two times on the clock the later one never
    /// comes before the other, so it is enough to look ahead.
    fn by_the_clock(&self, after: Timestamp) -> Option<Timestamp> {
        let mut shown = self.zone.to_datetime(after);
        loop {
            shown = self.shown_next(shown)?;
            if let Some(time) = self.time_of(shown).filter(|time| *time > after) {
                return Some(time);
            }
        }
    }

    /// When the clock shows this; `None` where it does not, and nothing comes instead.
    fn time_of(&self, shown: DateTime) -> Option<Timestamp> {
        let read = |offset: Offset| offset.to_timestamp(shown).ok();
        match self.zone.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Unambiguous { offset } => read(offset),
            AmbiguousOffset::Fold { before, .. } => read(before),
            AmbiguousOffset::Gap { .. } if self.is_of_every_hour => None,
            // By the clock as it is afterwards this is before the change.
            AmbiguousOffset::Gap { after, .. } => Some(self.zone.following(read(after)?).next()?.timestamp()),
        }
    }

    /// What the clock shows next after this.
    fn shown_next(&self, shown: DateTime) -> Option<DateTime> {
        let bounded = Some(shown).filter(|shown| shown.year() <= LAST_YEAR)?;
        let after = Offset::UTC.to_timestamp(bounded).ok()?;
        Some(self.times.find_next(after).ok()?.datetime())
    }

    fn is_among(&self, shown: DateTime) -> bool {
        Offset::UTC.to_timestamp(shown).is_ok_and(|time| self.times.matches(time).unwrap_or(false))
    }

    /// The end of the day that this time is in.
    fn end_of_day(&self, time: Timestamp) -> Timestamp {
        let end = time.to_zoned(self.zone.clone()).end_of_day();
        end.map_or(time, |end| end.timestamp())
    }
}

/// The last of what the crate says, after a drawing of where.
fn told(error: &str) -> &str {
    error.rsplit("^ ").next().unwrap_or(error)
}

fn invalid(field: ScheduleField, detail: &str) -> Rejection {
    Rejection::InvalidSchedule { field, detail: detail.chars().take(DETAIL_CHARS_MAX).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    /// What comes after a time, up to another.
    #[track_caller]
    fn check(cron: &str, zone: &str, [after, until]: [&str; 2], expected: &[&str]) {
        let cron = Cron::read(cron, zone).expect("a schedule");
        let (mut last, until, mut found) = (time(after), time(until), Vec::new());
        while let Some(next) = cron.next(last).filter(|next| *next <= until) {
            assert!(next > last, "{next} comes after {last}");
            found.push(next.to_string());
            last = next;
        }
        assert_eq!(found, expected, "{cron:?}");
    }

    const SPRING: [&str; 2] = ["2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"];
    const AUTUMN: [&str; 2] = ["2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"];

    #[test]
    fn times_are_those_of_the_zone() {
        let week = ["2026-11-26T18:00:00Z", "2026-12-01T18:00:00Z"];
        check(
            "0 6 * * MON-FRI",
            "UTC",
            week,
            &["2026-11-27T06:00:00Z", "2026-11-30T06:00:00Z", "2026-12-01T06:00:00Z"],
        );
        check("30 23 * * 5", "America/New_York", week, &["2026-11-28T04:30:00Z"]);
        check("0 0 L * *", "Asia/Kolkata", week, &["2026-11-29T18:30:00Z"]);
        check("  0\t6  1 * * ", "europe/berlin", week, &["2026-12-01T05:00:00Z"]);
        // Between two minutes.
        let moment = ["2026-11-26T18:00:00.001Z", "2026-11-26T18:02:00Z"];
        check("* * * * *", "UTC", moment, &["2026-11-26T18:01:00Z", "2026-11-26T18:02:00Z"]);
    }

    /// In Berlin two o'clock is left out: it is three at once.
    #[test]
    fn a_time_that_is_left_out_comes_when_the_clock_goes_on() {
        check("0 6 * * *", "Europe/Berlin", SPRING, &["2026-03-29T04:00:00Z"]);
        check("30 2 * * *", "Europe/Berlin", SPRING, &["2026-03-29T01:00:00Z"]);
        check("0,20,40 2 * * *", "Europe/Berlin", SPRING, &["2026-03-29T01:00:00Z"]);
        check(
            "30 1-3 * * *",
            "Europe/Berlin",
            SPRING,
            &["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"],
        );
        // A whole day was left out, when Samoa went over the date line.
        let samoa = ["2011-12-29T11:00:00Z", "2011-12-31T09:00:00Z"];
        check(
            "0 6 * * *",
            "Pacific/Apia",
            samoa,
            &["2011-12-29T16:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T16:00:00Z"],
        );
    }

    /// In Berlin two o'clock comes twice.
    #[test]
    fn a_time_that_comes_twice_is_taken_the_first_time() {
        check("30 2 * * *", "Europe/Berlin", AUTUMN, &["2026-10-25T00:30:00Z"]);
        check(
            "0 1-3 * * *",
            "Europe/Berlin",
            AUTUMN,
            &["2026-10-24T23:00:00Z", "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z"],
        );
        // Whoever begins in the hour that comes again waits for the next day.
        check(
            "30 2 * * *",
            "Europe/Berlin",
            ["2026-10-25T01:10:00Z", "2026-10-26T02:00:00Z"],
            &["2026-10-26T01:30:00Z"],
        );
    }

    #[test]
    fn what_comes_in_every_hour_goes_on_as_time_does() {
        let spring = ["2026-03-29T00:00:00Z", "2026-03-29T02:00:00Z"];
        check(
            "*/30 * * * *",
            "Europe/Berlin",
            spring,
            &["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:00:00Z"],
        );
        check("15 * * * *", "Europe/Berlin", spring, &["2026-03-29T00:15:00Z", "2026-03-29T01:15:00Z"]);
        let autumn = ["2026-10-24T23:30:00Z", "2026-10-25T02:00:00Z"];
        check(
            "*/30 * * * *",
            "Europe/Berlin",
            autumn,
            &[
                "2026-10-25T00:00:00Z",
                "2026-10-25T00:30:00Z",
                "2026-10-25T01:00:00Z",
                "2026-10-25T01:30:00Z",
                "2026-10-25T02:00:00Z",
            ],
        );
        // Whose clock is another in the meantime.
        check(
            "0 * 1 7 *",
            "Europe/Berlin",
            ["2026-01-01T00:00:00Z", "2026-06-30T23:00:00Z"],
            &["2026-06-30T22:00:00Z", "2026-06-30T23:00:00Z"],
        );
        check(
            "0 * 1 1 *",
            "Europe/Berlin",
            ["2026-07-01T00:00:00Z", "2026-12-31T23:00:00Z"],
            &["2026-12-31T23:00:00Z"],
        );
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let refused = |cron: &str, zone: &str| match Cron::read(cron, zone).expect_err("it is refused") {
            Rejection::InvalidSchedule { field, detail } => (field, detail),
            other => panic!("another rejection: {other:?}"),
        };
        for (cron, said) in [
            ("", "five fields"),
            ("@daily", "five fields"),
            ("0 6 * *", "five fields"),
            ("0 0 6 * * *", "five fields"),
            ("0 6 * * * Europe/Berlin", "five fields"),
            ("61 6 * * *", "61"),
            ("0 6 32 * *", "32"),
            ("5-1 * * * *", "5-1"),
            ("H 6 * * *", ""),
            (&format!("0{} 6 * * *", ",0".repeat(100)), "200"),
            ("\u{e4} \u{20ac} * * *", ""),
        ] {
            let (field, detail) = refused(cron, "UTC");
            assert_eq!(field, ScheduleField::Cron, "{cron}");
            assert!(
                detail.contains(said) && !detail.is_empty() && !detail.contains('\n'),
                "{cron}: {detail}"
            );
        }
        for zone in ["", "Berlin", "+01:00", "../UTC", "Europe/Berlin "] {
            assert_eq!(refused("0 6 * * *", zone).0, ScheduleField::TimeZone, "{zone}");
        }
    }

    #[test]
    fn what_comes_less_than_once_a_year_is_refused() {
        let now = time("2026-11-26T18:00:00Z");
        let check = |cron: &str| Cron::read(cron, "Europe/Berlin").expect("a schedule").check(now);
        for good in ["* * * * *", "0 6 * * *", "0 0 1 1 *", "* * 1 1 *", "0 0 29 * *", "0 0 * * 1#5"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for rare in ["0 0 30 2 *", "0 0 29 2 *", "* * 29 2 *", "0 0 * 1 5L", "0 0 */31 * MON"] {
            assert!(check(rare).is_err(), "{rare}");
        }
    }

    #[test]
    fn nothing_comes_at_the_end_of_all_days() {
        let cron = Cron::read("* * * * *", "Pacific/Apia").expect("a schedule");
        assert_eq!(cron.next(Timestamp::MAX), None);
        assert!(cron.check(Timestamp::MAX).is_err());
        assert!(cron.next(Timestamp::MIN).is_some());
    }
}
