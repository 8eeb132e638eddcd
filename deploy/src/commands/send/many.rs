//! Many commands, from a file: all checked before the first is sent; a bounded number on its way at any time.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal as _, Seek as _, stderr},
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use factfold_projections::log_reader::{Log, Stop};
use factfold_schemas::{command::Digest, kafka::Cluster, record::Answer};
use indicatif::ProgressBar;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Args, fresh,
    outcome::{Decided, Fate, Outcome, Sent},
    said,
    seal::Seal,
    sender::Sender,
    vocabulary::{Checked, Vocabulary},
};
use crate::{
    console::notice,
    failure::Failure,
    output::{self, Lines},
};

/// How many commands may be on their way at once.
const IN_FLIGHT_MAX: usize = 1000;
/// How many complaints are shown; the rest are counted.
const COMPLAINTS_MAX: usize = 20;

/// A file of commands that are fit to be sent.
pub(super) struct Job {
    file: File,
    prefix: Option<String>,
    vocabulary: Vocabulary,
    commands: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(rename = "type")]
    type_name: String,
    stream: Option<String>,
    id: Option<String>,
    data: Value,
}

impl Job {
    /// Checks every line; stdin is put aside on disk first, since it can be read only once.
    pub(super) fn read(path: &Path, prefix: Option<String>) -> Result<Self, Failure> {
        let file = open(path).map_err(Failure::Usage)?;
        let mut job = Self { file, prefix, vocabulary: Vocabulary::new(), commands: 0 };
        let (mut complaints, mut commands, mut bad) = (Vec::new(), 0, 0);
        job.each(|_, number, checked| {
            commands += 1;
            if let Err(wrong) = checked {
                bad += 1;
                complaints.extend(wrong.iter().map(|line| format!("  line {number}:{line}")));
                complaints.truncate(COMPLAINTS_MAX);
            }
            Ok(true)
        })?;
        if bad > 0 {
            let (path, complaints) = (path.display(), complaints.join("\n"));
            return Err(Failure::Usage(anyhow!(
                "{path}: {bad} of {commands} commands are wrong, and nothing was sent:\n{complaints}"
            )));
        }
        job.commands = commands;
        Ok(job)
    }

    /// Hands every line to `each`, checked, until it returns false.
    fn each(
        &self,
        mut each: impl FnMut(&str, u64, Result<Checked, Vec<String>>) -> Result<bool>,
    ) -> Result<()> {
        let mut file = &self.file;
        file.rewind().context("reading the file")?;
        for (index, text) in BufReader::new(file).lines().enumerate() {
            let (text, number) = (text.context("reading the file")?, index as u64 + 1);
            if text.trim().is_empty() {
                continue;
            }
            let (id, checked) = match serde_json::from_str::<Line>(&text) {
                Err(error) => (String::new(), Err(vec![format!(" {error}")])),
                Ok(line) => self.check(line, number),
            };
            if !each(&id, number, checked)? {
                break;
            }
        }
        Ok(())
    }

    fn check(&self, line: Line, number: u64) -> (String, Result<Checked, Vec<String>>) {
        let named = line.id.or_else(|| self.prefix.as_ref().map(|prefix| format!("{prefix}-{number}")));
        let fresh = fresh(&line.type_name, named.as_deref());
        let checked = self.vocabulary.check(&line.type_name, line.stream.as_deref(), fresh, &line.data);
        let id = named.unwrap_or_else(|| Uuid::now_v7().to_string());
        (id, checked.map_err(|misfits| misfits.iter().map(said).collect()))
    }

    /// Sends them all, and waits for their answers.
    pub(super) fn run(
        &self,
        args: &Args,
        cluster: &Cluster,
        seal: &Seal,
        stop: &Stop,
    ) -> Result<ExitCode, Failure> {
        let sender = Sender::new(&Log::open(cluster, notice)?)?;
        let bar = stderr().is_terminal().then(|| output::bar(self.commands, "commands"));
        let lines = args.json.then(Lines::new);
        let mut desk = Desk {
            sender,
            wait: args.wait(),
            stop,
            bar,
            lines,
            on_their_way: HashMap::new(),
            sent: 0,
            summary: Summary::default(),
        };
        self.each(|id, number, checked| {
            // Checked once more, since a file can change.
            let command =
                checked.map_err(|wrong| anyhow!("line {number} has changed: {}", wrong.join(", ")))?;
            if desk.on_their_way.len() >= IN_FLIGHT_MAX && !desk.hear(IN_FLIGHT_MAX - 1)? {
                return Ok(false);
            }
            let sealed = seal.apply(command).map_err(|error| anyhow!("line {number}: {error}"))?;
            desk.send(number, id, &sealed)?;
            Ok(!stop.is_wanted())
        })?;
        desk.hear(0)?;
        desk.finish(self.commands)
    }
}

/// Where commands go out, and answers come in.
struct Desk<'a> {
    sender: Sender,
    wait: Duration,
    stop: &'a Stop,
    bar: Option<ProgressBar>,
    lines: Option<Lines>,
    on_their_way: HashMap<(String, Digest), Vec<Sent>>,
    sent: u64,
    summary: Summary,
}

#[derive(Default)]
struct Summary {
    accepted: u64,
    unchanged: u64,
    scheduled: u64,
    rejected: u64,
    dead_lettered: u64,
    unanswered: u64,
}

impl Desk<'_> {
    fn send(&mut self, number: u64, id: &str, command: &Checked) -> Result<()> {
        let digest = Digest::of(&command.type_name, &command.value);
        self.on_their_way.entry((id.to_owned(), digest)).or_default().push(Sent::new(
            Some(number),
            id,
            command,
        ));
        self.sent += 1;
        self.sender.send(number, id, command, None)
    }

    /// Hears answers until no more than `rest` commands are on their way; false when none came for too long.
    fn hear(&mut self, rest: usize) -> Result<bool> {
        let mut heard = Instant::now();
        while self.on_their_way.len() > rest && !self.stop.is_wanted() {
            self.look_at_deliveries()?;
            match self.sender.reply(Duration::from_millis(10))? {
                Some(reply) => {
                    let key = (reply.command_id.clone(), reply.digest);
                    if let Some(mut sent) = self.take(&key) {
                        heard = Instant::now();
                        sent.position = Some(reply.position);
                        self.count(Outcome { sent, fate: Fate::of(reply) })?;
                    }
                }
                None if heard.elapsed() > self.wait => return Ok(false),
                None => {}
            }
        }
        Ok(!self.stop.is_wanted())
    }

    fn look_at_deliveries(&mut self) -> Result<()> {
        for (number, delivery) in self.sender.deliveries() {
            let Err(error) = delivery else { continue };
            let lost =
                self.on_their_way.iter().find(|(_, all)| all.iter().any(|sent| sent.line == Some(number)));
            if let Some(key) = lost.map(|(key, _)| key.clone())
                && let Some(sent) = self.take(&key)
            {
                self.count(Outcome { sent, fate: Fate::not_stored(&error) })?;
            }
        }
        Ok(())
    }

    fn take(&mut self, key: &(String, Digest)) -> Option<Sent> {
        let waiting = self.on_their_way.get_mut(key)?;
        let sent = (!waiting.is_empty()).then(|| waiting.remove(0));
        if waiting.is_empty() {
            self.on_their_way.remove(key);
        }
        sent
    }

    fn count(&mut self, outcome: Outcome) -> Result<()> {
        let count = match &outcome.fate {
            Fate::Decided(Decided { answer: Answer::Accepted { .. }, .. }) => &mut self.summary.accepted,
            Fate::Decided(Decided { answer: Answer::NoChange, .. }) => &mut self.summary.unchanged,
            Fate::Decided(Decided { answer: Answer::Scheduled { .. }, .. }) => &mut self.summary.scheduled,
            Fate::Decided(Decided { answer: Answer::Rejected { .. }, .. }) => &mut self.summary.rejected,
            Fate::Decided(Decided { answer: Answer::DeadLettered { .. }, .. }) => {
                &mut self.summary.dead_lettered
            }
            Fate::Open { .. } => &mut self.summary.unanswered,
        };
        *count += 1;
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
        if let Some(lines) = &mut self.lines {
            return lines.write(format!("{}\n", serde_json::to_string(&outcome)?).as_bytes());
        }
        let Summary { rejected, dead_lettered, unanswered, .. } = self.summary;
        if outcome.code() != 0 && rejected + dead_lettered + unanswered <= COMPLAINTS_MAX as u64 {
            let text = format!("line {}: {}", outcome.sent.line.unwrap_or_default(), outcome.complaint());
            self.bar.as_ref().map_or_else(|| eprintln!("{text}"), |bar| bar.println(&text));
        }
        Ok(())
    }

    fn finish(mut self, commands: u64) -> Result<ExitCode, Failure> {
        let open: Vec<Sent> = self.on_their_way.drain().flat_map(|(_, sent)| sent).collect();
        for sent in open {
            self.count(Outcome { sent, fate: Fate::pending() })?;
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let said = self.summary.said(self.sent);
        match &mut self.lines {
            Some(lines) => {
                lines.flush()?;
                eprintln!("{said}");
            }
            None => output::line(&said)?,
        }
        let left = commands - self.sent;
        if left > 0 {
            return Err(Failure::OutOfReach(anyhow!(
                "stopped after {} of {commands} commands: {left} were not sent",
                self.sent
            )));
        }
        let Summary { rejected, dead_lettered, unanswered, .. } = self.summary;
        Ok(ExitCode::from(match (unanswered, rejected + dead_lettered) {
            (0, 0) => 0,
            (0, _) => 1,
            _ => 3,
        }))
    }
}

impl Summary {
    fn said(&self, sent: u64) -> String {
        let counts = [
            (self.accepted, "accepted"),
            (self.unchanged, "changed nothing"),
            (self.scheduled, "scheduled"),
            (self.rejected, "rejected"),
            (self.dead_lettered, "dead letters"),
            (self.unanswered, "unanswered"),
        ];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let counts: Vec<_> = counts.map(|(count, what)| format!("{count} {what}")).collect();
        format!("{sent} commands: {}", counts.join(", "))
    }
}

fn open(path: &Path) -> Result<File> {
    if path != Path::new("-") {
        return File::open(path).with_context(|| format!("--file {}", path.display()));
    }
    let mut file = tempfile::tempfile().context("no temporary file for stdin")?;
    io::copy(&mut io::stdin().lock(), &mut file).context("--file -: reading stdin")?;
    Ok(file)
}
