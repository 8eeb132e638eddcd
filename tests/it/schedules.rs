//! Schedules on a real broker: decider, reactor and timers let a function tick, also when nothing ran for hours.

use factfold_schemas::{
    codec::{Named as _, encode},
    command::{Digest, Header},
    functions::{
        Code, Command, DeployFunction, Event, FunctionDeployed, FunctionName, FunctionScheduled, Language,
        Limits, ScheduleFunction, TickFunction,
    },
    record::{Cause, Outcome, Recorded},
    topics::Service,
};
use jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};
use serde_json::{Value, json};

use crate::world::{Job, World, home, settings, wait_until};

const SERVICE: Service = Service::Functions;
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// A history that ended when the function was to tick first: its commands, its events, and the place of its decider.
async fn ended_before(world: &World, name: FunctionName, first: Timestamp) {
    let (language, code, limits) = (Language::JavaScript, Code::of(b"x"), Limits::default());
    let deploy = Command::DeployFunction(DeployFunction {
        language,
        code: code.clone(),
        path: None,
        public: false,
        limits,
        input_schema: None,
        output_schema: None,
    });
    let deployed = Event::FunctionDeployed(FunctionDeployed {
        revision: 1,
        language,
        code,
        path: None,
        public: false,
        limits,
        input_schema: None,
        output_schema: None,
    });
    let (cron, time_zone, input) = ("0 * * * *".to_owned(), "UTC".to_owned(), json!({ "of": "tea" }));
    let schedule = Command::ScheduleFunction(ScheduleFunction {
        cron: cron.clone(),
        time_zone: time_zone.clone(),
        input: input.clone(),
    });
    let next = Some(first);
    let scheduled = Event::FunctionScheduled(FunctionScheduled { schedule: 1, cron, time_zone, input, next });
    let (stream, time) = (name.stream(), first - SignedDuration::from_mins(1));
    for (version, command, data) in [(1, deploy, deployed), (2, schedule, scheduled)] {
        let position = world.send(SERVICE, command.type_name(), &stream, &command).await;
        let digest = Digest::of(command.type_name(), &encode(&command));
        let cause = Cause::of(&Header::new(command.type_name(), "/tests"), digest, position, time);
        let event = Recorded { stream: stream.clone(), version, cause, data };
        world.write(SERVICE.events(), home(&stream), &event.record(SERVICE)).await;
    }
    let next = |partition| if partition == home(&stream) { 2 } else { 0 };
    world.commit_offsets("factfold.functions", SERVICE.commands(), next);
}

/// Which ticks there were, in their order, and what each said.
fn ticks(world: &World) -> Vec<(Timestamp, Value)> {
    let events = world.events::<Event>(SERVICE).into_iter();
    let due = events.filter_map(|event| match event.data {
        Event::FunctionTicked(ticked) => Some((ticked.due, ticked.input)),
        _ => None,
    });
    due.collect()
}

/// Which tick waits for its time.
fn waiting(world: &World) -> Option<Timestamp> {
    world.outcomes(SERVICE).into_iter().find_map(|outcome| match outcome.outcome {
        Outcome::Scheduled(scheduled) => Some(scheduled.due),
        _ => None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn ticks_that_were_missed_come_late_each_once() {
    let world = World::new().await;
    let name: FunctionName = "report".parse().expect("a name");
    let whole = TimestampRound::new().smallest(Unit::Hour).mode(RoundMode::Trunc);
    let first = Timestamp::now().round(whole).expect("a time") - 3 * HOUR;
    ended_before(&world, name, first).await;
    let jobs = [Job::Functions, Job::Schedules, Job::Timers(SERVICE)];
    let _workers = jobs.map(|job| world.start(job, settings("one")));
    wait_until("a tick waits for its time", || waiting(&world).is_some());
    let next = waiting(&world).expect("it waits");
    assert!(next > first + 3 * HOUR, "{next}");
    let missed: Vec<_> = ticks(&world).into_iter().take_while(|(due, _)| *due < next).collect();
    let hours = (0..).map(|n| first + n * HOUR).take_while(|due| *due < next);
    let expected: Vec<_> = hours.map(|due| (due, json!({ "of": "tea" }))).collect();
    assert_eq!(missed, expected);

    // Whoever asks for one of them again changes nothing.
    let again = Command::TickFunction(TickFunction { schedule: 1, due: first });
    world.send(SERVICE, "again", &name.stream(), &again).await;
    wait_until("it is no change", || {
        world.outcomes(SERVICE).iter().any(|outcome| matches!(outcome.outcome, Outcome::NoChange(_)))
    });
    assert_eq!(ticks(&world).into_iter().filter(|(due, _)| *due == first).count(), 1);
}
