//! `factfold psql`: PostgreSQL's own shell on the read models, for somebody who only looks.

use std::{
    env, fs,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, anyhow};
use percent_encoding::percent_decode_str;

use crate::{
    data_dir::DataDir,
    failure::Failure,
    system::{Flags, System},
};

/// Open psql on the read models, as somebody who only looks
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  factfold psql
  factfold psql -- -c 'SELECT status, count(*) FROM orders GROUP BY status'

\\d lists the views, \\d+ with what each is.")]
pub(super) struct Args {
    #[command(flatten)]
    flags: Flags,
    /// What psql is to get besides
    #[arg(last = true, value_name = "ARGS")]
    more: Vec<String>,
}

/// Becomes psql; comes back only where that cannot be.
pub(super) fn run(args: Args, data: DataDir) -> Result<ExitCode, Failure> {
    let system = System::find(data, &args.flags)?;
    let mut psql = shell(system.database()?, &system.cluster()?.namespace.schema())?;
    let error = psql.args(args.more).exec();
    Err(Failure::OutOfReach(anyhow!("{} does not start: {error}", psql.get_program().display())))
}

/// psql on this database, where unqualified names lead to these schemas, as somebody who only looks.
pub(super) fn shell(url: &str, search_path: &str) -> Result<Command, Failure> {
    let (url, password) = split(url);
    let program =
        program().context("psql is not found: install PostgreSQL's client").map_err(Failure::OutOfReach)?;
    let mut psql = Command::new(&program);
    let options =
        format!("-c search_path={search_path} -c role=factfold_reader -c default_transaction_read_only=on");
    // What stands in the arguments everybody on this machine can read.
    psql.arg(url).env("PGOPTIONS", options).env("PGAPPNAME", "factfold psql");
    if let Some(password) = password {
        psql.env("PGPASSWORD", password);
    }
    Ok(psql)
}

/// The URL without its password, and the password.
fn split(url: &str) -> (String, Option<String>) {
    let parts = url.split_once("://").and_then(|(scheme, rest)| {
        let (authority, place) = rest.rsplit_once('@')?;
        let (user, password) = authority.split_once(':')?;
        let password = percent_decode_str(password).decode_utf8().ok()?.into_owned();
        Some((format!("{scheme}://{user}@{place}"), Some(password)))
    });
    parts.unwrap_or_else(|| (url.to_owned(), None))
}

/// On the path, or where Debian has it without one.
fn program() -> Option<PathBuf> {
    let mut folders: Vec<_> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    let mut versions: Vec<_> = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().collect();
    versions.sort_by_key(|version| std::cmp::Reverse(version.file_name()));
    folders.extend(versions.into_iter().map(|version| version.path().join("bin")));
    folders.into_iter().map(|folder| folder.join("psql")).find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_does_not_stand_among_the_arguments() {
        assert_eq!(
            split("postgres://ada:p%40ss@h:1/d?sslmode=require"),
            ("postgres://ada@h:1/d?sslmode=require".to_owned(), Some("p@ss".to_owned()))
        );
        assert_eq!(split("postgres://ada@h/d"), ("postgres://ada@h/d".to_owned(), None));
        assert_eq!(split("postgres:///d"), ("postgres:///d".to_owned(), None));
    }
}
