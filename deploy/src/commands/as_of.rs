//! `factfold as-of`: the read models as they were, as SQL.

use std::{
    io::{IsTerminal as _, stderr},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, anyhow};
use factfold_projections::{At, Error, Past, PastError, Projection, log_reader::bound::listed, past};
use factfold_schemas::kafka::Cluster;
use indicatif::ProgressBar;
use tokio::sync::watch;

use super::psql::shell;
use crate::{
    blocking::{interrupted, unless_interrupted},
    data_dir::DataDir,
    failure::Failure,
    output,
    system::{Flags, System},
};

/// Ask the read models as they were, in SQL
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  factfold as-of 2026-11-01T12:00:00Z --sql 'SELECT status, count(*) FROM orders GROUP BY status'
  factfold as-of 15m --sql 'SELECT * FROM goods' --json
  factfold as-of orders.commands/3@1042

A moment is a time by the broker's clock, how long ago, the position of a command (when it had been decided), or
positions of events, as this command names them on stderr: everything below those. The read models that the question
names are folded up to there, beside those that are shown, and kept for a day after they were last used. Without --sql it
opens psql on all of them. Needs PostgreSQL's client.")]
pub(super) struct Args {
    /// When
    #[arg(value_name = "WHEN")]
    at: At,
    /// The question
    #[arg(long, value_name = "SQL")]
    sql: Option<String>,
    /// Print each row as a line of JSON
    #[arg(long, requires = "sql")]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Runs the command.
pub(super) async fn run(args: Args, data: DataDir) -> Result<ExitCode, Failure> {
    let system = System::find(data, &args.flags)?;
    let (cluster, url) = (system.cluster()?, system.database()?);
    let wanted = wanted(args.sql.as_deref())?;
    // Held until psql ends: it keeps what is looked at from going.
    let past = found(&cluster, url, &wanted, &args.at).await?;
    eprintln!("as of {}", listed(past.positions.iter().copied()));
    let mut psql = shell(url, &past.schemas.join(","))?;
    if let Some(sql) = &args.sql {
        let sql = sql.trim().trim_end_matches(';');
        psql.args(["--no-psqlrc", "--set", "ON_ERROR_STOP=1"]);
        if args.json {
            psql.args(["--tuples-only", "--no-align", "--command"]);
            psql.arg(format!("SELECT row_to_json(answer) FROM ({sql}) AS answer"));
        } else {
            psql.args(["--pset", "pager=off", "--command", sql]);
        }
        psql.stdin(Stdio::null());
    }
    waited_for(psql).await
}

/// The read models whose tables the question names; all of them where nothing is asked yet.
fn wanted(sql: Option<&str>) -> Result<Vec<Projection>, Failure> {
    let Some(sql) = sql else { return Ok(Projection::ALL.to_vec()) };
    let words: Vec<_> =
        sql.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_lowercase).collect();
    let is_named = |table: &'static str| words.iter().any(|word| word == table);
    let wanted: Vec<_> =
        Projection::ALL.into_iter().filter(|projection| projection.table_names().any(is_named)).collect();
    if wanted.is_empty() {
        let tables: Vec<_> = Projection::ALL.iter().flat_map(|projection| projection.table_names()).collect();
        let tables =
            tables.into_iter().filter(|table| !table.starts_with('_')).collect::<Vec<_>>().join(", ");
        return Err(Failure::Usage(anyhow!("--sql names no read model: there are {tables}")));
    }
    Ok(wanted)
}

async fn found(cluster: &Cluster, url: &str, wanted: &[Projection], at: &At) -> Result<Past, Failure> {
    let bar = if stderr().is_terminal() { output::bar(0, "records") } else { ProgressBar::hidden() };
    let counted = bar.clone();
    let each = move |records| counted.inc(records as u64);
    let (going_on, stopped) = watch::channel(());
    let found = unless_interrupted(going_on, past(cluster, url, wanted, at, stopped, each)).await;
    bar.finish_and_clear();
    match found {
        Ok(Some(past)) => Ok(past),
        Ok(None) => Err(interrupted()),
        Err(error @ (PastError::Moment(_) | PastError::NoTrace(_))) => Err(Failure::Refused(error.into())),
        Err(PastError::Projection(error @ (Error::Violation { .. } | Error::Refused { .. }))) => {
            Err(Failure::Refused(error.into()))
        }
        Err(error) => Err(Failure::OutOfReach(anyhow::Error::from(error).context("looking back"))),
    }
}

/// Runs psql to its end. A Ctrl-C is psql's own affair: it ends a question, not the shell.
async fn waited_for(psql: Command) -> Result<ExitCode, Failure> {
    let mut interrupts = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())
        .context("listening for signals")?;
    let mut child = tokio::process::Command::from(psql).spawn().context("psql does not start")?;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.context("psql")?,
            _ = interrupts.recv() => {}
        }
    };
    Ok(ExitCode::from(u8::from(!status.success())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_question_names_is_folded() {
        let wanted = |sql| wanted(Some(sql)).map_err(|failure| failure.to_string());
        let of_lines = "SELECT sum(l.quantity) FROM order_lines l JOIN Goods ON goods.id = l.goods_id";
        assert_eq!(wanted(of_lines), Ok(vec![Projection::Goods, Projection::Orders]));
        assert_eq!(wanted("TABLE \"sales_by_day\""), Ok(vec![Projection::SalesByDay]));
        assert!(wanted("SELECT 1").is_err_and(|said| said.contains("order_lines")));
    }
}
