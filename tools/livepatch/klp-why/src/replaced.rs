// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Which functions a task must not be in to be switched, and whether it is.
//!
//! As `klp_check_stack_func()` has it: on the way to the patch, the function that is
//! run now (the original, or the replacement of an earlier patch); on the way back,
//! the patch's own.

use std::collections::{HashMap, HashSet};

use crate::livepatch::{Function, Object, Patch, VMLINUX};
use crate::stack::Frame;
use crate::symbols::{Module, Symbols};

/// The functions that hold a task up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    functions: HashMap<(Module, String), Match>,
    /// Patches whose functions these are. What they are called is the patch's choice.
    patches: HashSet<String>,
}

/// How sure it is that a frame holds a task up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Match {
    /// Code of a patch whose functions are left: one of them, or one they call.
    PatchCode,
    /// A function of this name is replaced, and there are others.
    SameName,
    /// It is replaced.
    Replaced,
}

/// A frame that holds a task up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The frame.
    pub frame: Frame,
    /// How sure that is.
    pub sure: Match,
    /// It is the main function of a kernel thread, which returns when the thread ends.
    pub main: bool,
}

impl Replaced {
    /// What `patch`, which is in transition, has tasks leave.
    pub fn new(patch: &Patch, all: &[Patch], symbols: &Symbols) -> Self {
        let mut replaced = Self::default();
        for object in patch.objects.iter().filter(|object| object.patched) {
            for function in &object.functions {
                if !patch.enabled {
                    replaced.leave_patch(patch, function);
                    continue;
                }
                let earlier = earlier(patch, all, object, function);
                for other in &earlier {
                    replaced.leave_patch(other, function);
                }
                if earlier.is_empty() {
                    replaced.leave_original(&module(object), function, symbols);
                }
            }
        }
        replaced
    }

    /// The originals alone: what `--preflight` asks about.
    pub fn originals(functions: &[(Module, Function)], symbols: &Symbols) -> Self {
        let mut replaced = Self::default();
        for (module, function) in functions {
            replaced.leave_original(module, function, symbols);
        }
        replaced
    }

    fn leave_patch(&mut self, patch: &Patch, function: &Function) {
        let key = (Some(patch.name.clone()), function.name.clone());
        self.functions.insert(key, Match::Replaced);
        self.patches.insert(patch.name.clone());
    }

    fn leave_original(&mut self, module: &Module, function: &Function, symbols: &Symbols) {
        let known = symbols.get(&(module.clone(), function.clone()));
        let unique = known.is_some_and(|names| names.same_name == 1);
        let sure = if unique {
            Match::Replaced
        } else {
            Match::SameName
        };
        self.add(module, &function.name, sure);
        for name in known.map(|names| &names.all).into_iter().flatten() {
            // Another name of the address need not be unique itself.
            let sure = if *name == function.name {
                sure
            } else {
                Match::SameName
            };
            self.add(module, name, sure);
        }
    }

    fn add(&mut self, module: &Module, name: &str, sure: Match) {
        let known = self.functions.entry((module.clone(), name.to_string()));
        let known = known.or_insert(sure);
        *known = (*known).max(sure);
    }

    /// What a frame is.
    pub fn of(&self, frame: &Frame) -> Option<Match> {
        let key = (frame.module.clone(), frame.symbol.clone());
        let of_patch = |module: &String| self.patches.contains(module);
        match self.functions.get(&key) {
            Some(&sure) => Some(sure),
            None => frame
                .module
                .as_ref()
                .is_some_and(of_patch)
                .then_some(Match::PatchCode),
        }
    }

    /// The frame that is returned from last, of those that are surest.
    pub fn find(&self, frames: &[Frame]) -> Option<Hit> {
        let hits = frames.iter().enumerate();
        let hits = hits.filter_map(|(n, frame)| Some((self.of(frame)?, n, frame)));
        let (sure, n, frame) = hits.max_by_key(|&(sure, n, _)| (sure, n))?;
        let caller = frames.get(n + 1);
        Some(Hit {
            frame: frame.clone(),
            sure,
            main: caller.is_some_and(|f| f.symbol == "kthread" && f.module.is_none()),
        })
    }
}

/// The patches that replace the function already: the newest, where the kernel says
/// which that is.
fn earlier<'a>(
    patch: &Patch,
    all: &'a [Patch],
    object: &Object,
    function: &Function,
) -> Vec<&'a Patch> {
    let replaces = |other: &&Patch| {
        let mut objects = other.objects.iter().filter(|o| o.name == object.name);
        other.name != patch.name
            && other.enabled
            && objects.any(|o| o.patched && o.functions.contains(function))
    };
    let others: Vec<&Patch> = all.iter().filter(replaces).collect();
    if others.iter().any(|other| other.stack_order.is_none()) {
        return others;
    }
    others
        .into_iter()
        .max_by_key(|other| other.stack_order)
        .into_iter()
        .collect()
}

/// The module of an object's functions, as a stack names it.
pub fn module(object: &Object) -> Module {
    (object.name != VMLINUX).then(|| object.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::Stack;
    use crate::symbols::Names;

    fn function(name: &str) -> Function {
        Function {
            name: name.to_string(),
            position: 1,
        }
    }

    fn patch(name: &str, enabled: bool, order: u32, object: &str, functions: &[&str]) -> Patch {
        Patch {
            name: name.to_string(),
            enabled,
            transition: false,
            stack_order: Some(order),
            objects: vec![Object {
                name: object.to_string(),
                patched: true,
                functions: functions.iter().map(|name| function(name)).collect(),
            }],
        }
    }

    fn frames(text: &str) -> Vec<Frame> {
        Stack::parse(text.as_bytes()).frames
    }

    fn unique(name: &str, others: &[&str]) -> Symbols {
        let mut all = vec![name.to_string()];
        all.extend(others.iter().map(|name| name.to_string()));
        [((None, function(name)), Names { all, same_name: 1 })].into()
    }

    const STACK: &str = "[<0>] msleep+0x1/0x2\n[<0>] f+0x1/0x2\n[<0>] g+0x1/0x2\n\
                         [<0>] f+0x8/0x9\n[<0>] kthread+0x1/0x2\n";

    #[test]
    fn finds_the_outermost() {
        let patch = patch("p", true, 1, "vmlinux", &["f"]);
        let all = [patch.clone()];
        let hit = Replaced::new(&patch, &all, &unique("f", &[])).find(&frames(STACK));
        let hit = hit.unwrap();
        assert_eq!(
            (hit.frame.offset, hit.sure, hit.main),
            (8, Match::Replaced, true)
        );
    }

    #[test]
    fn a_module_of_the_same_function_name_is_another_function() {
        let patch = patch("p", true, 1, "ext4", &["f"]);
        let replaced = Replaced::new(&patch, std::slice::from_ref(&patch), &Symbols::new());
        assert_eq!(replaced.find(&frames(STACK)), None);
        assert!(replaced.find(&frames("[<0>] f+0x1/0x2 [ext4]\n")).is_some());
    }

    #[test]
    fn other_names_of_the_address_count() {
        let patch = patch("p", true, 1, "vmlinux", &["other"]);
        let replaced = Replaced::new(
            &patch,
            std::slice::from_ref(&patch),
            &unique("other", &["f"]),
        );
        assert_eq!(replaced.find(&frames(STACK)).unwrap().sure, Match::SameName);
    }

    #[test]
    fn namesakes_are_not_sure() {
        let patch = patch("p", true, 1, "vmlinux", &["f"]);
        let mut symbols = unique("f", &[]);
        symbols.values_mut().for_each(|names| names.same_name = 2);
        for symbols in [symbols, Symbols::new()] {
            let replaced = Replaced::new(&patch, std::slice::from_ref(&patch), &symbols);
            assert_eq!(replaced.find(&frames(STACK)).unwrap().sure, Match::SameName);
        }
    }

    #[test]
    fn a_module_that_is_not_loaded_holds_nothing_up() {
        let mut patch = patch("p", true, 1, "ext4", &["f"]);
        patch.objects[0].patched = false;
        let replaced = Replaced::new(&patch, std::slice::from_ref(&patch), &Symbols::new());
        assert_eq!(replaced.find(&frames("[<0>] f+0x1/0x2 [ext4]\n")), None);
    }

    #[test]
    fn on_the_way_back_the_patch_is_left() {
        let patch = patch("p", false, 1, "vmlinux", &["f"]);
        let replaced = Replaced::new(&patch, std::slice::from_ref(&patch), &unique("f", &[]));
        assert_eq!(replaced.find(&frames(STACK)), None);
        let sure = |text: &str| replaced.find(&frames(text)).map(|hit| hit.sure);
        assert_eq!(sure("[<0>] f+0x1/0x2 [p]\n"), Some(Match::Replaced));
        assert_eq!(
            sure("[<0>] livepatch_f+0x1/0x2 [p]\n"),
            Some(Match::PatchCode)
        );
    }

    #[test]
    fn a_later_patch_replaces_the_replacement() {
        let late = patch("late", true, 3, "vmlinux", &["f"]);
        let all = [
            patch("early", true, 1, "vmlinux", &["f"]),
            patch("middle", true, 2, "vmlinux", &["f"]),
            late.clone(),
            patch("off", false, 4, "vmlinux", &["f"]),
        ];
        let replaced = Replaced::new(&late, &all, &unique("f", &[]));
        assert_eq!(replaced.find(&frames(STACK)), None);
        assert_eq!(replaced.find(&frames("[<0>] f+0x1/0x2 [early]\n")), None);
        assert!(replaced
            .find(&frames("[<0>] f+0x1/0x2 [middle]\n"))
            .is_some());
    }
}
