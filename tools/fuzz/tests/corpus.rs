// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Every committed input, without the engine.

use orc_fuzz::{baseline, cfi, elf, explain, rule, table, table_walk, walk};

fn play(target: &str, run: fn(&[u8])) {
    let directory = format!("{}/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let inputs = std::fs::read_dir(&directory).expect(&directory);
    let mut count = 0;
    for input in inputs {
        let path = input.expect("a name").path();
        let input = std::fs::read(&path).expect("a file");
        println!("{}", path.display());
        run(&input);
        count += 1;
    }
    assert_ne!(count, 0, "{directory} is empty");
}

macro_rules! play {
    ($($target:ident),*) => {$(
        #[test]
        fn $target() {
            play(stringify!($target), $target::run);
        }
    )*};
}

play!(baseline, cfi, elf, explain, rule, table, table_walk, walk);
