// SPDX-License-Identifier: GPL-2.0

//! Prints the stack of a task, and whether it can be believed.
//!
//! ```sh
//! insmod rust_unwind_show.ko pid=1; rmmod rust_unwind_show; dmesg
//! ```

use kernel::{
    prelude::*,
    unwind_orc::Trace, //
};

module! {
    type: Show,
    name: "rust_unwind_show",
    authors: ["The unwind_orc authors"],
    description: "Prints the frames of a task and the verdict of the ORC unwinder",
    license: "GPL",
    params: {
        pid: i32 {
            default: 0,
            description: "The task to show; 0, the default, for the one that loads the module",
        },
    },
}

struct Show;

impl kernel::Module for Show {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let pid = module_parameters::pid.value();
        let trace = match pid {
            0 => Trace::of_task(current!()),
            _ => Trace::of_pid(pid),
        }
        // What insmod makes of it can be misleading.
        .inspect_err(|error| pr_err!("pid {}: no trace: {:?}\n", pid, error))?;

        for frame in trace.frames() {
            pr_info!("pid {}: {}\n", pid, frame);
        }
        match trace.refusal() {
            None => pr_info!("pid {}: reliable, {} frames\n", pid, trace.depth()),
            Some(why) => pr_info!("pid {}: unreliable: {}\n", pid, why),
        }
        Ok(Show)
    }
}
