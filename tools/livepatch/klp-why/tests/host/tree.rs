// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A tree that stands for `/`: the files of the kernel that the program reads, in the
//! kernel's own words. None of the program's code is used to make it.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory with `proc`, `sys` and `dev` in it.
pub struct Tree {
    directory: tempfile::TempDir,
}

/// A task as `/proc` shows it.
#[derive(Clone)]
pub struct Task {
    pub pid: u32,
    pub tid: u32,
    pub comm: Vec<u8>,
    pub state: char,
    pub kernel_thread: bool,
    pub cpu: u32,
    pub user_ticks: u64,
    pub kernel_ticks: u64,
    pub start_ticks: u64,
    pub switches: u64,
    pub run_ns: u64,
    pub patch_state: &'static str,
    pub stack: Option<String>,
}

impl Task {
    /// A thread of its own process that sleeps and is not patched.
    pub fn new(tid: u32, comm: &str) -> Self {
        Self {
            pid: tid,
            tid,
            comm: comm.as_bytes().to_vec(),
            state: 'S',
            kernel_thread: false,
            cpu: 0,
            user_ticks: 0,
            kernel_ticks: 0,
            start_ticks: 100,
            switches: 5,
            run_ns: 1_000_000,
            patch_state: "0",
            stack: Some(SLEEPS.to_string()),
        }
    }

    pub fn kernel_thread(tid: u32, comm: &str) -> Self {
        Self {
            kernel_thread: true,
            ..Self::new(tid, comm)
        }
    }

    pub fn state(self, state: char) -> Self {
        Self { state, ..self }
    }

    pub fn patched(self) -> Self {
        let patch_state = "1";
        Self {
            patch_state,
            ..self
        }
    }

    pub fn stack(self, stack: &str) -> Self {
        let stack = Some(stack.to_string());
        Self { stack, ..self }
    }

    /// The same task, on its CPU all the time since.
    pub fn ran(self) -> Self {
        Self {
            kernel_ticks: self.kernel_ticks + 100,
            run_ns: self.run_ns + 1_000_000_000,
            ..self
        }
    }
}

/// Asleep, with nothing on the stack that any test replaces.
pub const SLEEPS: &str = "\
[<0>] do_sys_poll+0x1c0/0x540
[<0>] __arm64_sys_ppoll+0xb0/0x148
[<0>] invoke_syscall+0x48/0x118
[<0>] el0_svc+0x34/0xe8
[<0>] el0t_64_sync+0x1a0/0x1a8
";

pub const UPTIME: f64 = 1000.0;

impl Tree {
    /// A kernel with livepatch, no patch, and kthreadd.
    pub fn new() -> Self {
        let tree = Self::without_livepatch();
        fs::create_dir_all(tree.path("sys/kernel/livepatch")).unwrap();
        tree.task(&Task::kernel_thread(2, "kthreadd").patched());
        tree
    }

    /// The same where many files are made and read quickly.
    pub fn in_memory() -> Self {
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let tree = Self::filled(directory.unwrap());
        fs::create_dir_all(tree.path("sys/kernel/livepatch")).unwrap();
        tree.task(&Task::kernel_thread(2, "kthreadd").patched());
        tree
    }

    pub fn without_livepatch() -> Self {
        Self::filled(tempfile::tempdir().unwrap())
    }

    fn filled(directory: tempfile::TempDir) -> Self {
        let tree = Self { directory };
        tree.write("proc/uptime", format!("{UPTIME:.2} 900.00\n"));
        tree.write("dev/kmsg", "");
        tree.write(
            "proc/kallsyms",
            "ffff800080010000 T nfsd\nffff800080020000 t busymod_work_func\t[busymod]\n\
             ffff800080030000 T cmdline_proc_show\nffff800080040000 t kthread_main\n",
        );
        tree
    }

    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn append(&self, path: &str, text: &str) {
        let mut old = fs::read(self.path(path)).unwrap();
        old.extend_from_slice(text.as_bytes());
        self.write(path, old);
    }

    pub fn patch(&self, name: &str, enabled: bool, transition: bool) {
        let path = format!("sys/kernel/livepatch/{name}");
        self.write(
            &format!("{path}/enabled"),
            format!("{}\n", u8::from(enabled)),
        );
        self.write(
            &format!("{path}/transition"),
            format!("{}\n", u8::from(transition)),
        );
    }

    pub fn function(&self, patch: &str, object: &str, patched: bool, function: &str) {
        let path = format!("sys/kernel/livepatch/{patch}/{object}");
        self.write(
            &format!("{path}/patched"),
            format!("{}\n", u8::from(patched)),
        );
        fs::create_dir_all(self.path(&format!("{path}/{function}"))).unwrap();
    }

    /// The patch that most tests use, in transition since `seconds` ago.
    pub fn transition(&self, enabled: bool, seconds: f64) {
        self.patch("cve", enabled, true);
        self.function("cve", "vmlinux", true, "nfsd,1");
        self.function("cve", "vmlinux", true, "kthread_main,1");
        self.function("cve", "busymod", true, "busymod_work_func,1");
        let direction = if enabled { "patching" } else { "unpatching" };
        self.log(
            seconds,
            &format!("livepatch: 'cve': starting {direction} transition"),
        );
    }

    /// A message of the kernel's, `ago` seconds old.
    pub fn log(&self, ago: f64, message: &str) {
        let us = ((UPTIME - ago) * 1e6) as u64;
        self.append("dev/kmsg", &format!("5,100,{us},-;{message}\n"));
    }

    pub fn task(&self, task: &Task) {
        let path = format!("proc/{}/task/{}", task.pid, task.tid);
        let flags = if task.kernel_thread {
            0x20_8040
        } else {
            0x40_0000
        };
        let mut stat = format!("{} (", task.tid).into_bytes();
        stat.extend_from_slice(&task.comm);
        let (state, cpu, start) = (task.state, task.cpu, task.start_ticks);
        let (user, kernel) = (task.user_ticks, task.kernel_ticks);
        stat.extend_from_slice(
            format!(
                ") {state} 2 0 0 0 -1 {flags} 0 0 0 0 {user} {kernel} 0 0 20 0 1 0 {start} 0 0 \
                 18446744073709551615 0 0 0 0 0 0 0 2147483647 0 0 0 0 17 {cpu} 0 0 0 0 0 0 0 0 0 \
                 0 0 0 0\n"
            )
            .as_bytes(),
        );
        self.write(&format!("{path}/stat"), stat.clone());
        self.write(&format!("proc/{}/stat", task.pid), stat);
        self.write(
            &format!("{path}/status"),
            format!(
                "Name:\tescaped\nvoluntary_ctxt_switches:\t{}\nnonvoluntary_ctxt_switches:\t0\n",
                task.switches
            ),
        );
        self.write(
            &format!("{path}/schedstat"),
            format!("{} 0 {}\n", task.run_ns, task.switches),
        );
        self.write(
            &format!("{path}/patch_state"),
            format!("{}\n", task.patch_state),
        );
        if let Some(stack) = &task.stack {
            self.write(&format!("{path}/stack"), stack);
        }
    }
}

/// What the program did.
pub struct Output {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Output {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap()
    }

    /// The one task that holds the transition up.
    pub fn blocked(&self) -> serde_json::Value {
        let json = self.json();
        let blocked = json["transition"]["blocked"].as_array().unwrap();
        assert_eq!(blocked.len(), 1, "{json:#}");
        blocked[0].clone()
    }
}

/// Runs the program, its looks below one tree after the other.
pub fn klp_why(trees: &[&Tree], arguments: &[&str]) -> Output {
    run(&mut command(
        env!("CARGO_BIN_EXE_klp-why").as_ref(),
        trees,
        arguments,
    ))
}

/// The same as a user without rights.
pub fn klp_why_as_nobody(trees: &[&Tree], arguments: &[&str]) -> Output {
    // Cargo's directory need not be readable for all.
    let directory = tempfile::tempdir().unwrap();
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(directory.path(), everybody).unwrap();
    let copy = directory.path().join("klp-why");
    fs::copy(env!("CARGO_BIN_EXE_klp-why"), &copy).unwrap();
    for tree in trees {
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(tree.root(), everybody).unwrap();
    }
    let mut command = command(&copy, trees, arguments);
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    run(&mut command)
}

fn command(program: &Path, trees: &[&Tree], arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    for tree in trees {
        command.arg("--root").arg(tree.root());
    }
    command.args(["--interval", "60"]).args(arguments);
    command
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    Output {
        status: output.status.code().expect("no signal, no panic"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
