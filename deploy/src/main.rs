//! The `factfold` command. It parses, runs one command, and turns the result into an exit code;
//! everything else is in the library.

use std::process::ExitCode;

use clap::Parser;
use factfold::commands::Cli;
use factfold::console::Console;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    #[cfg(feature = "failpoints")]
    let _failpoints = factfold::failpoints::from_environment().expect("failpoints");
    match Cli::parse().run().await {
        Ok(code) => code,
        Err(failure) if failure.is_closed_output() => ExitCode::SUCCESS,
        Err(failure) => {
            Console::Quiet.warn(&format!("factfold: {failure}"));
            failure.exit_code()
        }
    }
}
