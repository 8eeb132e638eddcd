//! Lets functions tick: each tick is asked for when the one before it is known. It sets timers, and nothing else: which time is
//! next was decided with the event, so all that there is to know stands in the log.

use factfold_schemas::{
    functions::{Command, Event, FunctionName, TickFunction},
    topics::{Service, Topic},
};

use super::{Fact, Reactor, Request};

/// Sets a timer for the next tick of each schedule.
#[derive(Debug, Clone, Copy)]
pub struct Schedules;

impl Reactor for Schedules {
    const NAME: &'static str = "schedules";
    const INPUTS: &'static [Topic] = &[Service::Functions.events()];
    // A tick that came already changes nothing, however often it is asked for; one that was forgotten comes.
    const MAY_BEGIN_ANEW: bool = true;

    fn react(&self, fact: &Fact) -> Vec<Request> {
        let Fact::Functions(event) = fact else { return Vec::new() };
        let (schedule, next) = match &event.data {
            Event::FunctionScheduled(scheduled) => (scheduled.schedule, scheduled.next),
            Event::FunctionTicked(ticked) => (ticked.schedule, ticked.next),
            _ => return Vec::new(),
        };
        let (Some(name), Some(due)) = (FunctionName::of_stream(event.stream.as_str()), next) else {
            return Vec::new();
        };
        let tick = Request::Functions(name, Command::TickFunction(TickFunction { schedule, due }));
        vec![Request::Later(due, Box::new(tick))]
    }
}

#[cfg(test)]
mod tests {
    use factfold_schemas::functions::{
        Code, DeployFunction, FunctionScheduled, FunctionTicked, FunctionUnscheduled, Language, Limits,
        Rejection, ScheduleFunction,
    };
    use jiff::Timestamp;
    use serde_json::Value;

    use super::*;
    use crate::{
        functions::FunctionsDecider,
        given::{History, recorded, time},
    };

    fn name() -> FunctionName {
        "report".parse().expect("a name")
    }

    fn react(event: Event) -> Vec<Request> {
        Schedules.react(&Fact::Functions(recorded(Service::Functions, name().stream(), event)))
    }

    fn check(event: Event, expected: &[Request]) {
        assert_eq!(react(event.clone()), expected, "what follows from {event:?}");
    }

    fn later(schedule: u32, due: Timestamp) -> Request {
        let tick = Command::TickFunction(TickFunction { schedule, due });
        Request::Later(due, Box::new(Request::Functions(name(), tick)))
    }

    #[test]
    fn the_next_tick_is_asked_for_at_its_time() {
        let scheduled = |next| {
            let (cron, time_zone) = ("0 6 * * *".to_owned(), "Europe/Berlin".to_owned());
            Event::FunctionScheduled(FunctionScheduled {
                schedule: 2,
                cron,
                time_zone,
                input: Value::Null,
                next,
            })
        };
        check(scheduled(Some(time(60))), &[later(2, time(60))]);
        check(scheduled(None), &[]);
        let ticked = |next| {
            Event::FunctionTicked(FunctionTicked { schedule: 2, due: time(60), input: Value::Null, next })
        };
        check(ticked(Some(time(120))), &[later(2, time(120))]);
        check(ticked(None), &[]);
        check(Event::FunctionUnscheduled(FunctionUnscheduled {}), &[]);
    }

    /// A function that ticks at half past two, each night of a year.
    fn a_year() -> History<FunctionsDecider> {
        let mut history = History::<FunctionsDecider>::new(name());
        let deploy = Command::DeployFunction(DeployFunction {
            language: Language::JavaScript,
            code: Code::of(b"x"),
            path: None,
            public: false,
            limits: Limits::default(),
            input_schema: None,
            output_schema: None,
        });
        let (cron, time_zone) = ("30 2 * * *".to_owned(), "Europe/Berlin".to_owned());
        let schedule = Command::ScheduleFunction(ScheduleFunction { cron, time_zone, input: Value::Null });
        for command in [deploy, schedule] {
            history.send(&command, None).expect("it is taken");
        }
        while history.events.len() < 2 + 366 {
            for request in react(history.events.last().expect("there are some").clone()) {
                let tick = tick(request);
                history.send(&tick, None).expect("it is due");
                assert_eq!(history.send(&tick, None), Err(Rejection::NoChange), "each tick comes once");
            }
        }
        history
    }

    fn tick(request: Request) -> Command {
        match request {
            Request::Later(_, request) => tick(*request),
            Request::Functions(_, command) => command,
            other => panic!("no tick: {other:?}"),
        }
    }

    /// All of them are late, since no time passes here.
    #[test]
    fn what_is_missed_comes_late_each_night_once() {
        let due = a_year().events.into_iter().filter_map(|event| match event {
            Event::FunctionTicked(ticked) => Some(ticked.due.to_string()),
            _ => None,
        });
        let due: Vec<_> = due.collect();
        assert_eq!((due[0].as_str(), due[365].as_str()), ("2023-11-15T01:30:00Z", "2024-11-14T01:30:00Z"));
        // The clock goes from two to three, and from three to two.
        let of = |day: &str| due.iter().filter(|due| due.starts_with(day)).cloned().collect::<Vec<_>>();
        assert_eq!(of("2024-03-31"), ["2024-03-31T01:00:00Z"]);
        assert_eq!(of("2024-10-27"), ["2024-10-27T00:30:00Z"]);
    }

    #[test]
    fn whoever_begins_anew_asks_for_nothing_that_came() {
        let mut history = a_year();
        let requests: Vec<_> = history.events.iter().cloned().flat_map(react).collect();
        let (last, before) = requests.split_last().expect("there are some");
        for request in before {
            assert_eq!(history.send(&tick(request.clone()), None), Err(Rejection::NoChange));
        }
        history.send(&tick(last.clone()), None).expect("it is due");
    }
}
