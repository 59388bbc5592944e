// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Files cut off and corrupted everywhere: an error or an answer, never a panic.

use orctool::check::baseline::Baseline;
use orctool::check::{detail, report, File};
use orctool::emit;
use orctool::error::Cause;
use orctool::explain;
use orctool::input::Input;
use orctool::stat::Stat;
use orctool::tables;

use crate::assemble::{kernel, module};
use crate::{check, cli, sancov};

/// All that is done with a file; whether it could be read.
fn use_it(file: &[u8]) -> bool {
    let Ok(input) = Input::read_with_cfi(file) else {
        return false;
    };
    let _ = input.build_id();
    let Ok(tables) = tables::of(&input) else {
        return false;
    };
    let _ = Stat::new(&input, &tables);
    let explained = explain::explain("x".as_ref(), &input, "framed+0x8/0x18");
    let _ = explained.map(|explanation| explain::text::text(&explanation));
    let _ = emit::module(
        &input.image,
        &[emit::ModuleTable {
            text: 1,
            bytes: vec![0; 8],
        }],
        false,
    );
    let _ = emit::linked_table(&input.image);
    true
}

fn fixtures() -> Vec<(&'static str, Vec<u8>)> {
    let fixture = |name: &str| {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/");
        std::fs::read(format!("{directory}{name}")).unwrap()
    };
    vec![
        ("module", module().build()),
        ("kernel", kernel(Some(&[0; 64])).build()),
        ("clang", fixture("clang.o")),
    ]
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    for (name, file) in fixtures() {
        for len in 0..file.len() {
            assert!(!use_it(&file[..len]), "{name} of {len} bytes");
        }
    }
}

#[test]
fn a_file_cut_off_anywhere_is_exit_status_2() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cut.ko");
    let file = module().build();
    for len in 0..file.len() {
        std::fs::write(&path, &file[..len]).unwrap();
        let (status, out, err) = cli::orctool(&["gen", "--module", path.to_str().unwrap()]);
        assert_eq!((status, out.as_str()), (2, ""), "{len} bytes: {err}");
        assert_eq!(err.lines().count(), 1, "{len} bytes: {err}");
        assert!(err.contains("cut.ko: "), "{err}");
        assert_eq!(
            std::fs::read(&path).unwrap(),
            &file[..len],
            "the file is not touched"
        );
    }
    assert_eq!(
        std::fs::read_dir(&directory).unwrap().count(),
        1,
        "nothing is left behind"
    );
}

/// Runs many small proofs without handing each to another thread.
fn on_one_thread(test: impl FnOnce() + Send) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    pool.unwrap().install(test);
}

#[test]
fn no_wrong_byte_panics() {
    on_one_thread(|| {
        for (_, file) in fixtures() {
            let mut changed = file.clone();
            for at in 0..file.len() {
                for value in [0x00, 0x01, 0x7f, 0x80, 0xff, file[at] ^ 0x04] {
                    changed[at] = value;
                    let _ = use_it(&changed);
                }
                changed[at] = file[at];
            }
        }
    });
}

#[test]
fn no_wrong_byte_panics_in_a_check() {
    on_one_thread(|| {
        for file in [check::all().build(), sancov::disagreeing().build()] {
            let mut changed = file.clone();
            for at in 0..file.len() {
                let values = [0x00, 0x01, 0x7f, 0x80, 0xff, file[at] ^ 0x04];
                changed[at] = values[at % values.len()];
                check_it(&changed);
                changed[at] = file[at];
            }
        }
    });
}

fn check_it(file: &[u8]) {
    let Ok(input) = Input::read_all_text(file) else {
        return;
    };
    let mut checked = File::check("file", &input, || ());
    detail::add(&input, &input.image, checked.findings.iter_mut());
    let checked = [checked];
    let _ = report::text(&checked);
    let _ = Baseline::of(&checked);
}

#[test]
fn no_two_wrong_bytes_panic() {
    // A generator of one's own: the same bytes in every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    on_one_thread(|| {
        for (_, file) in fixtures() {
            for _ in 0..3000 {
                let mut changed = file.clone();
                for _ in 0..2 + next(4) {
                    let at = next(file.len());
                    changed[at] = next(256) as u8;
                }
                let _ = use_it(&changed);
            }
        }
    });
}

/// What is wrong is a value, and is said as one line with section and offset.
#[test]
fn a_fault_has_a_place_and_a_cause() {
    let fault = Input::read(b"MZ").map(|_| ()).unwrap_err();
    assert_eq!((&*fault.section, fault.offset), ("ELF header", 0));
    assert_eq!(fault.cause, Cause::NotElf);
    assert_eq!(fault.to_string(), "ELF header+0x0: not an ELF file");
    let mut elf = crate::assemble::kernel(None);
    let end = elf.sections[1].data.len() as u64;
    elf.sections[1].data.extend([0; 2]);
    let file = elf.build();
    let fault = Input::read(&file).map(|_| ()).unwrap_err();
    assert_eq!((&*fault.section, fault.offset), (".text", end));
    assert_eq!(fault.cause, Cause::EndsInsideInstruction);
}
