// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The command line: one module a command.

use std::sync::OnceLock;

use clap::{Parser, Subcommand};

use crate::error::Error;
use crate::progress::Verbosity;

mod check;
mod dump;
mod explain;
mod gen;
mod stat;

/// Makes, checks and prints the ORC unwind tables of an arm64 Linux kernel.
///
/// The rows come from the compiler's call frame information; each is proved
/// against the instructions, and what can't be proved is marked unreliable.
#[derive(Debug, Parser)]
#[command(name = "orctool", version = version(), after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// No progress bar and no summary
    #[arg(short, long, global = true)]
    quiet: bool,

    /// A summary even when standard error is not a terminal
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    verbose: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Arguments),
    Gen(gen::Arguments),
    Dump(dump::Arguments),
    Explain(explain::Arguments),
    Stat(stat::Arguments),
}

const EXIT_CODES: &str = "\
Exit status: 0 fine, 1 findings, 2 could not do it (one line on standard error
names the file, the section and the offset).

Examples:
  orctool gen vmlinux.tmp -o orc.o     tables to link into the kernel
  orctool gen --fill vmlinux           check and complete them after the link
  orctool gen --module ext4.ko         tables into a module
  orctool check vmlinux *.ko           where CFI and instructions differ
  orctool dump vmlinux schedule        the rows of a function
  orctool explain vmlinux.unstripped schedule+0x40
                                       what is known about one PC
  orctool stat vmlinux                 coverage and sizes";

/// The version, and the hash of the table format: what a kernel build compares.
fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let hash = orc::format::FORMAT_HASH;
        format!("{} format {hash:08x}", env!("CARGO_PKG_VERSION"))
    })
}

/// What a command found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to report: exit status 0.
    Fine,
    /// Something that a person should look at: exit status 1.
    Findings,
}

/// Runs the command that the arguments of the process ask for.
///
/// Returns the exit status. Errors are one line on standard error.
pub fn run() -> u8 {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to standard output and are no failure.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return code;
        }
    };
    let verbosity = match (arguments.quiet, arguments.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    let result = match arguments.command {
        Command::Check(arguments) => check::run(&arguments, verbosity),
        Command::Gen(arguments) => gen::run(&arguments, verbosity),
        Command::Dump(arguments) => dump::run(&arguments, verbosity),
        Command::Explain(arguments) => explain::run(&arguments, verbosity),
        Command::Stat(arguments) => stat::run(&arguments, verbosity),
    };
    match result {
        Ok(Outcome::Fine) => 0,
        Ok(Outcome::Findings) => 1,
        Err(error) => {
            eprintln!("orctool: {error}");
            error.exit_code()
        }
    }
}

/// Prints a command's output as JSON.
fn print_json(output: &impl serde::Serialize) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(output);
    let json = json.map_err(|e| Error::Usage(e.to_string()))?;
    print(&(json + "\n"))
}

/// Prints a command's output. A reader that has gone away (`| head`) is no error.
fn print(text: &str) -> Result<(), Error> {
    print_to(std::io::stdout().lock(), text)
}

/// The same for text with colours: they are taken out unless a person who wants
/// them (`NO_COLOR`) sees it at a terminal that has them.
fn print_styled(text: &str) -> Result<(), Error> {
    print_to(anstream::AutoStream::auto(std::io::stdout().lock()), text)
}

fn print_to(mut out: impl std::io::Write, text: &str) -> Result<(), Error> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::io("standard output".as_ref())(e))
        }
        _ => Ok(()),
    }
}
