// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `orctool check`: every row against the instructions.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;

use super::{print, print_styled, Outcome};
use crate::check::baseline::Baseline;
use crate::check::control_flow::ControlFlow;
use crate::check::{detail, json, report, text, Divergence, File, Totals};
use crate::elf::load::{has_lines, is_no_dwarf, load};
use crate::elf::Image;
use crate::error::Error;
use crate::input::Input;
use crate::output;
use crate::progress::Verbosity;
use crate::show::printable;

/// Prove every row of the CFI, and print where it differs from the instructions
///
/// Each divergence is shown with its place, the source line and the compiler where
/// DWARF has them, what the CFI claims, what holds, what the row should have been,
/// how many instructions are affected, the instructions around them, and a guess at
/// the cause. The last line counts functions, instructions and assumptions. With -v
/// there is a line for each section and for each function without CFI, and one that
/// counts how often each assumption was relied on; with -q nothing but errors.
///
/// All text is looked at, also of a kernel what gets no table (.init.text, ...).
///
/// Functions without CFI that are not proved to be leaves are counted and do not
/// make the check fail: nothing is claimed of them, and the kernel's unwinder gives
/// up there. A divergence makes it fail, also one that is only a limit of the proof:
/// the kernel gives up there too, and someone should look.
#[derive(Args, Debug)]
#[command(after_help = "\
Exit status: 0 no divergence, or none that the baseline does not have; 1 divergences;
2 could not check.

Examples:
  orctool check vmlinux
  orctool check vmlinux *.ko
  orctool check --json vmlinux | jq '.files[].findings[].symbol'
  orctool check --report cfi.md drivers/net/foo.o
  orctool check --write-baseline known.txt vmlinux
  orctool check --baseline known.txt vmlinux      fails on new divergences alone")]
pub(super) struct Arguments {
    /// vmlinux, FILE.ko or FILE.o
    #[arg(required = true)]
    elf: Vec<PathBuf>,

    /// One JSON object instead of text (fields: tools/orc/README.md)
    #[arg(long)]
    json: bool,

    /// Also write a report in Markdown, by compiler, class and cause
    #[arg(long, value_name = "FILE.md")]
    report: Option<PathBuf>,

    /// Fail on divergences that are not in this file alone, and show no others
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// Write all divergences to a baseline, and do not fail
    #[arg(long, value_name = "FILE", conflicts_with = "baseline")]
    write_baseline: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, verbosity: Verbosity) -> Result<Outcome, Error> {
    let mut job = Job {
        arguments,
        verbosity,
        baseline: Baseline::default(),
        gone: Vec::new(),
        time: Duration::ZERO,
    };
    if let Some(path) = &arguments.baseline {
        job.baseline = baseline(path)?;
    }
    let mut files = Vec::new();
    for path in &arguments.elf {
        files.push(job.check(path)?);
    }
    if let Some(path) = &arguments.report {
        output::write(path, report::text(&files).as_bytes())?;
    }
    if let Some(path) = &arguments.write_baseline {
        output::write(path, Baseline::of(&files).text().as_bytes())?;
    }
    job.finish(&files)?;
    let is_failure = files.iter().any(|file| file.new_findings() != 0);
    let flows = files.iter().filter_map(|file| file.control_flow.as_ref());
    // No baseline has these.
    let disagrees = flows.map(ControlFlow::findings).sum::<usize>() != 0;
    match disagrees || is_failure && arguments.write_baseline.is_none() {
        true => Ok(Outcome::Findings),
        false => Ok(Outcome::Fine),
    }
}

fn baseline(path: &Path) -> Result<Baseline, Error> {
    let bytes = output::read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    Baseline::parse(&text)
        .map_err(|e| Error::Usage(format!("{}:{}: {}", path.display(), e.line, e.what)))
}

/// One run over some files.
struct Job<'a> {
    arguments: &'a Arguments,
    verbosity: Verbosity,
    baseline: Baseline,
    /// Entries of the baseline that nothing was found for.
    gone: Vec<String>,
    time: Duration,
}

impl Job<'_> {
    /// Checks one file, and prints what is to be seen of it.
    fn check(&mut self, path: &Path) -> Result<File, Error> {
        let start = Instant::now();
        let file = std::thread::scope(|scope| {
            // To read the DWARF takes as long as to prove a third of the rows, so that
            // is done meanwhile where it is going to be shown.
            // A pipe can be read only once.
            let is_file = path.metadata().is_ok_and(|meta| meta.is_file());
            let is_early = is_file && self.wants_all();
            let dwarf = is_early.then(|| scope.spawn(|| load(path, has_lines)));
            self.prove(path, || match dwarf {
                Some(dwarf) => dwarf.join().unwrap_or_else(|_| load(path, has_lines)),
                None => load(path, has_lines),
            })
        })?;
        let time = start.elapsed();
        self.time += time;
        if !self.is_silent() {
            self.show(&file, time)?;
        }
        Ok(file)
    }

    fn wants_all(&self) -> bool {
        self.arguments.json || self.arguments.report.is_some()
    }

    /// Proves all of a file; `dwarf` reads it once more, with its DWARF.
    fn prove(
        &mut self,
        path: &Path,
        dwarf: impl FnOnce() -> Result<Vec<u8>, Error>,
    ) -> Result<File, Error> {
        let data = load(path, is_no_dwarf)?;
        let input = Input::read_all_text(&data).map_err(|e| e.in_file(path))?;
        let functions: usize = input.texts.iter().map(|t| t.text.functions.len()).sum();
        let bar = self.verbosity.bar(functions as u64);
        let name = printable(&path.to_string_lossy());
        let mut file = File::check(&name, &input, || bar.inc(1));
        bar.finish_and_clear();
        self.gone
            .extend(self.baseline.mark(std::slice::from_mut(&mut file)));
        self.describe(path, &input, &mut file, dwarf)?;
        Ok(file)
    }

    /// Adds to the divergences that will be seen what is shown beside them.
    fn describe(
        &self,
        path: &Path,
        input: &Input<'_>,
        file: &mut File,
        dwarf: impl FnOnce() -> Result<Vec<u8>, Error>,
    ) -> Result<(), Error> {
        let wants_all = self.wants_all();
        let is_quiet = self.verbosity == Verbosity::Quiet;
        let shows_known = self.verbosity == Verbosity::Verbose;
        let is_shown = |found: &Divergence| wants_all || !is_quiet && (shows_known || !found.known);
        let mut shown = file.findings.iter_mut().filter(|f| is_shown(f)).peekable();
        if shown.peek().is_none() {
            return Ok(());
        }
        let sections = &input.image.sections;
        let left_out = |name: &str| sections.iter().any(|s| s.name == name && s.data.is_empty());
        if !left_out(".debug_info") {
            detail::add(input, &input.image, shown);
            return Ok(());
        }
        // Only now is it worth to read what is most of the file.
        let data = dwarf()?;
        let image = Image::parse(&data).map_err(|e| e.in_file(path))?;
        detail::add(input, &image, shown);
        Ok(())
    }

    fn is_silent(&self) -> bool {
        self.verbosity == Verbosity::Quiet || self.arguments.json
    }

    fn show(&self, file: &File, time: Duration) -> Result<(), Error> {
        let is_verbose = self.verbosity == Verbosity::Verbose;
        let mut out = String::new();
        for found in file.findings.iter().filter(|f| is_verbose || !f.known) {
            text::divergence(&mut out, &file.file, found);
        }
        if is_verbose {
            for bare in &file.without_cfi {
                text::bare(&mut out, &file.file, bare);
            }
            text::sections(&mut out, file);
            text::assumptions(&mut out, file);
        }
        if let Some(flow) = &file.control_flow {
            out.push_str(&flow.text(&file.file, is_verbose));
        }
        let known = file.findings.len() - file.new_findings();
        text::summary(&mut out, &file.file, &file.totals, known, time);
        print_styled(&out)
    }

    /// What is said of all files together.
    fn finish(&self, files: &[File]) -> Result<(), Error> {
        if self.arguments.json {
            let json = json::text(files, &self.gone);
            return print(&json.map_err(|e| Error::Usage(e.to_string()))?);
        }
        if self.is_silent() {
            return Ok(());
        }
        let mut out = String::new();
        for entry in &self.gone {
            out.push_str(&format!("in the baseline and not found: {entry}\n"));
        }
        if files.len() > 1 {
            let mut totals = Totals::default();
            files.iter().for_each(|file| totals.add(&file.totals));
            let new: usize = files.iter().map(File::new_findings).sum();
            let known = totals.findings as usize - new;
            text::summary(&mut out, "all", &totals, known, self.time);
        }
        print_styled(&out)
    }
}
