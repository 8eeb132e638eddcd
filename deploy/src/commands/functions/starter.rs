//! `factfold functions new`: a function that works, and the cases that it is tried with. The starters are the examples of the
//! sandbox, which its tests run.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, anyhow};
use clap::ValueEnum;
use factfold_schemas::functions::FunctionName;

use crate::{failure::Failure, output};

/// Write a function to begin with, and the cases that it is tried with
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: factfold functions new add --lang js")]
pub(super) struct Args {
    /// What it is called
    name: FunctionName,
    /// How it is written
    #[arg(long, value_name = "LANG", default_value = "js")]
    lang: Lang,
    /// Where; without it, here
    #[arg(long, value_name = "DIR", default_value = ".")]
    to: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Lang {
    /// JavaScript
    Js,
    /// TypeScript
    Ts,
    /// Python
    Py,
    /// Go, compiled to a WASI command
    Go,
    /// C, compiled to a WASI command
    C,
    /// Rust, compiled to a WASI command
    Rust,
    /// Java, compiled to a WASI command
    Java,
}

impl Lang {
    /// The files, by how their names end: first the source.
    const fn starter(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Js => &[("js", include_str!("../../../../consumers/functions/examples/add.js"))],
            Self::Ts => &[("ts", include_str!("../../../../consumers/functions/examples/add.ts"))],
            Self::Py => &[("py", include_str!("../../../../consumers/functions/examples/add.py"))],
            Self::Go => &[("go", include_str!("../../../../consumers/functions/examples/add.go"))],
            Self::C => &[("c", include_str!("../../../../consumers/functions/examples/add.c"))],
            Self::Rust => &[("rs", include_str!("../../../../consumers/functions/examples/add.rs"))],
            Self::Java => &[
                ("java", include_str!("../../../../consumers/functions/examples/add.java")),
                ("pom.xml", include_str!("../../../../consumers/functions/examples/add.pom.xml")),
            ],
        }
    }

    /// What makes of the source what is deployed.
    fn compile(self, name: FunctionName) -> Option<String> {
        match self {
            Self::Js | Self::Ts | Self::Py => None,
            Self::Go => Some(format!("GOOS=wasip1 GOARCH=wasm go build -o {name}.wasm {name}.go")),
            Self::C => Some(format!("clang --target=wasm32-wasi -O2 -o {name}.wasm {name}.c")),
            Self::Rust => Some(format!("rustc --target wasm32-wasip1 -O -o {name}.wasm {name}.rs")),
            Self::Java => Some(format!("mvn -q -f {name}.pom.xml")),
        }
    }
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let name = args.name;
    let file = |ending: &str| args.to.join(format!("{name}.{ending}"));
    let cases = ("test.json", include_str!("starter.test.json"));
    let files = args.lang.starter();
    for (ending, text) in files.iter().chain([&cases]) {
        let file = file(ending);
        write(&file, &text.replace("add.", &format!("{name}.")))?;
        output::line(&file.display().to_string())?;
    }
    let deployed = match args.lang.compile(name) {
        Some(compile) => {
            eprintln!("compile it:  {compile}");
            file("wasm")
        }
        None => file(files[0].0),
    };
    eprintln!("try it:      factfold functions test {}", deployed.display());
    eprintln!("deploy it:   factfold functions deploy {} --path /{name}", deployed.display());
    eprintln!("call it:     factfold functions call {name} '{{\"a\":1,\"b\":2}}'");
    Ok(ExitCode::SUCCESS)
}

/// What is there is somebody's work: it is never written over.
fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let mut made = OpenOptions::new().write(true).create_new(true).open(file).map_err(|error| match error
        .kind()
    {
        io::ErrorKind::AlreadyExists => {
            Failure::Refused(anyhow!("{} is there already: use another name, or --to DIR", file.display()))
        }
        _ => Failure::Usage(anyhow!("{}: {error}", file.display())),
    })?;
    Ok(made.write_all(text.as_bytes()).with_context(|| format!("writing {}", file.display()))?)
}
