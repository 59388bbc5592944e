// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the kernel says of a stack, as people paste it: the last line of
//! `/proc/<pid>/stack`, a line of the trace buffer, or an entry of a backtrace.
//!
//! ```text
//! unreliable: frame pointer mismatch at vfs_read+0x9c/0x2f8
//! cat-71 [001] d..2. 12.3: unwind_orc_unreliable: pid=70 comm=cat pc=ext4_iget+0x8/0x20 [ext4] frame=3 reason="null pc"
//! [<0>] vfs_read+0x9c/0x2f8
//! ```
//!
//! The forms are those of `arch_stack_show_verdict()`, of the event
//! `unwind_orc_unreliable`, and of `sprint_symbol()`. A place alone is read too.

use orc::reason::Reason;

use crate::place::number;

/// What was said, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// `SYMBOL+OFFSET`, or an address that the kernel knows no symbol for.
    pub place: String,
    /// Bytes from the symbol to the next one, which is the kernel's idea of a size.
    pub size: Option<u64>,
    /// The module, in brackets.
    pub module: Option<String>,
    /// Why the stack is unreliable, as it was said.
    pub reason: Option<String>,
    /// The number of the frame, 0 for the innermost.
    pub frame: Option<u32>,
    /// It is the kernel's text, in which no module means the kernel itself.
    pub is_kernels: bool,
}

impl Said {
    /// Takes text apart; `None` when it names no place.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let line = lines.clone().find(|line| Self::has_reason(line));
        let line = line.or_else(|| lines.find(|line| !line.trim().is_empty()))?;
        let said = Self::event(line).or_else(|| Self::verdict(line));
        let said = said.unwrap_or_else(|| Self::entry(line));
        (!said.place.is_empty()).then_some(said)
    }

    /// The reason, if it is one that this tool knows.
    #[must_use]
    pub fn known_reason(&self) -> Option<Reason> {
        let said = self.reason.as_deref()?;
        let mut all = Reason::ALL.iter().copied();
        all.find(|reason| reason.name() == said)
    }

    /// Whether the code is one that no file holds: a BPF program, a trampoline.
    #[must_use]
    pub fn is_made_at_run_time(&self) -> bool {
        let module = self.module.as_deref().unwrap_or_default();
        // What kernel/kallsyms.c gives for BPF programs, ftrace and kprobes.
        module == "bpf" || module.starts_with("__builtin__")
    }

    fn has_reason(line: &str) -> bool {
        Self::event(line).or_else(|| Self::verdict(line)).is_some()
    }

    /// The event. From the end, since comm may hold anything.
    fn event(line: &str) -> Option<Self> {
        let (line, reason) = line.rsplit_once(" reason=")?;
        let (line, frame) = line.rsplit_once(" frame=")?;
        let (_, place) = line.rsplit_once(" pc=")?;
        // A shell takes the quotes away.
        let reason = reason.trim().trim_matches('"').to_string();
        Some(Self {
            reason: Some(reason),
            frame: frame.trim().parse().ok(),
            is_kernels: true,
            ..Self::symbol(place)
        })
    }

    /// The last line of `/proc/<pid>/stack`.
    fn verdict(line: &str) -> Option<Self> {
        let (_, line) = line.split_once("unreliable: ")?;
        let (reason, place) = line.rsplit_once(" at ")?;
        Some(Self {
            reason: Some(reason.trim().to_string()),
            is_kernels: true,
            ..Self::symbol(place)
        })
    }

    /// An entry of a backtrace, or a place alone.
    fn entry(line: &str) -> Self {
        match line.trim().strip_prefix("[<0>]") {
            Some(place) => Self {
                is_kernels: true,
                ..Self::symbol(place)
            },
            None => Self::symbol(line),
        }
    }

    /// `SYMBOL+OFFSET/SIZE [MODULE]`, where all but the symbol may be missing.
    fn symbol(text: &str) -> Self {
        let mut said = Self::default();
        let mut place = text.trim();
        let module = place.strip_suffix(']').and_then(|p| p.rsplit_once(" ["));
        if let Some((before, module)) = module {
            // A build-id may follow the name.
            said.module = module.split(' ').next().map(str::to_string);
            place = before.trim();
        }
        if let Some((before, size)) = place.rsplit_once('/') {
            said.size = number(size);
            said.is_kernels = true;
            place = before;
        }
        said.place = place.to_string();
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Said {
        Said::parse(text).unwrap()
    }

    #[test]
    fn takes_apart_what_the_kernel_says() {
        let here = Said {
            place: "vfs_read+0x9c".into(),
            size: Some(0x2f8),
            is_kernels: true,
            ..Said::default()
        };
        assert_eq!(said("vfs_read+0x9c/0x2f8"), here);
        assert_eq!(said("  [<0>] vfs_read+0x9c/0x2f8\n"), here);
        let verdict = Said {
            reason: Some("exception record not at the stack pointer".into()),
            ..here.clone()
        };
        let line = "unreliable: exception record not at the stack pointer at vfs_read+0x9c/0x2f8";
        assert_eq!(said(line), verdict);
        let file = format!("[<0>] __schedule+0x1/0x2\n[<0>] schedule+0x3/0x4\n{line}\n");
        assert_eq!(said(&file), verdict, "all of /proc/<pid>/stack");
        assert_eq!(verdict.known_reason(), Some(Reason::RegsMisplaced));
        assert_eq!(here.known_reason(), None);
    }

    #[test]
    fn takes_apart_the_event() {
        let place = Said {
            place: "ext4_iget.isra.0+0x8".into(),
            size: Some(0x20),
            module: Some("ext4".into()),
            reason: Some("null pc".into()),
            frame: Some(3),
            is_kernels: true,
        };
        let event = "pc=ext4_iget.isra.0+0x8/0x20 [ext4] frame=3 reason=\"null pc\"";
        let with = |comm: &str| format!("pid=70 comm={comm} {event}");
        assert_eq!(said(&with("cat")), place);
        let line = format!(
            "  cat-71  [001] d..2.  12.345: unwind_orc_unreliable: {}",
            with("cat")
        );
        assert_eq!(said(&line), place);
        let hostile = "x pc=a+0x0/0x4 frame=1 reason=\"no row\"";
        assert_eq!(said(&with(hostile)), place, "comm may hold anything");
        assert_eq!(said(&with("a").replace('"', "")), place, "after a shell");
        assert_eq!(place.known_reason(), Some(Reason::NullPc));
    }

    #[test]
    fn takes_places_as_they_are() {
        let alone = |place: &str| Said {
            place: place.into(),
            ..Said::default()
        };
        for place in ["schedule", "schedule+0x40", ".text+8", "0xffff800080010000"] {
            assert_eq!(said(place), alone(place));
        }
        let of_module = said("ext4_iget+0x8 [ext4 0123abcd]");
        assert_eq!(of_module.module.as_deref(), Some("ext4"), "with a build-id");
        assert!(!of_module.is_kernels);
        assert!(said("unreliable: null pc at 0x0").is_kernels);
        for nothing in ["", " \n ", "unreliable: null pc at "] {
            assert_eq!(Said::parse(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn knows_code_that_is_in_no_file() {
        let program = said("bpf_prog_6deef7357e7b4530+0x50/0x80 [bpf]");
        assert!(program.is_made_at_run_time());
        assert!(said("kprobe_insn_page+0x0/0x4 [__builtin__kprobes]").is_made_at_run_time());
        assert!(!said("load_umh+0x8/0x20 [bpfilter]").is_made_at_run_time());
        assert!(!said("ext4_iget+0x8/0x20").is_made_at_run_time());
    }
}
