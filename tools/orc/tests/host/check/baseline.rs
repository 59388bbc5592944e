// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Baselines: what they hide, and what never.

use super::*;

/// It has no place for them: what it is to keep is what compilers do for good.
#[test]
fn no_baseline_hides_a_disagreement_over_control_flow() {
    let bench = Bench::new();
    bench.write("flow.o", crate::sancov::disagreeing().build());
    assert_eq!(
        bench.check(&["--write-baseline", "known.txt", "flow.o"]).0,
        1
    );
    assert_eq!(bench.check(&["--baseline", "known.txt", "flow.o"]).0, 1);
}

/// A baseline of these functions, made by the tool.
fn with_baseline(functions: &[Described]) -> Bench {
    let bench = Bench::new();
    bench.write("x.o", object(functions).build());
    let (status, ..) = bench.check(&["-q", "--write-baseline", "known.txt", "x.o"]);
    assert_eq!(status, 0, "what is written down is accepted");
    bench
}

#[test]
fn what_the_baseline_has_does_not_fail() {
    let old = [framed("a", 2, 2), framed("b", 1, 2)];
    let bench = with_baseline(&old);
    let known = "# orctool check baseline 1\n\
         # file, symbol, class, claim, number of findings\n\
         x.o\ta\tlate-row\tcfa=sp+0 ra=x30 fp=x29\t1\n\
         x.o\tb\tearly-row\tcfa=sp+0 ra=x30 fp=x29\t1\n";
    assert_eq!(bench.read("known.txt"), known);
    let check = |functions: &[Described]| {
        bench.write("x.o", object(functions).build());
        bench.check(&["--baseline", "known.txt", "x.o"])
    };
    let (status, out, _) = check(&old);
    assert_eq!(status, 0);
    assert_eq!(out.lines().count(), 1, "{out}");
    assert!(
        out.contains("2 divergences, 2 of them in the baseline"),
        "{out}"
    );
    // Other addresses, another offset in the function.
    let mut shifted = old.to_vec();
    shifted[0].1.insert(0, NOP);
    shifted[0].2.as_mut().unwrap()[0] = op::advance(3);
    shifted.reverse();
    shifted.insert(0, framed("sound", 1, 3));
    assert_eq!(check(&shifted).0, 0);
    // One that is not in it.
    let more = [old[0].clone(), old[1].clone(), framed("c", 2, 2)];
    let (status, out, _) = check(&more);
    assert_eq!(status, 1);
    assert!(out.contains("c+0x4") && !out.contains("a+0x4"), "{out}");
    // A second one of a kind that is in it.
    let (status, ..) = check(&[old[0].clone(), old[1].clone(), framed("a", 2, 2)]);
    assert_eq!(status, 1);
    // One less.
    let (status, out, _) = check(&old[1..]);
    assert_eq!(status, 0);
    assert!(
        out.contains("in the baseline and not found: x.o\ta\tlate-row"),
        "{out}"
    );
    // Another file has nothing to do with it.
    bench.write("other.o", object(&[framed("sound", 1, 3)]).build());
    let (status, out, _) = bench.check(&["--baseline", "known.txt", "other.o"]);
    assert_eq!((status, out.lines().count()), (0, 1), "{out}");
    // Known ones can be looked at.
    bench.write("x.o", object(&old).build());
    let (status, out, _) = bench.check(&["-v", "--baseline", "known.txt", "x.o"]);
    assert_eq!(status, 0);
    assert!(out.contains("late-row (in the baseline)"), "{out}");
    let json = bench.json(&["--baseline", "known.txt", "x.o"]);
    assert_eq!(json["new_findings"], 0);
    assert_eq!(json["files"][0]["findings"][0]["known"], true);
}

#[test]
fn a_hash_in_a_symbol_is_not_in_the_baseline() {
    let bench = with_baseline(&[framed("f.llvm.123456", 2, 2)]);
    assert!(bench.read("known.txt").contains("x.o\tf\tlate-row"));
    bench.write("x.o", object(&[framed("f.llvm.99", 2, 2)]).build());
    assert_eq!(bench.check(&["-q", "--baseline", "known.txt", "x.o"]).0, 0);
    bench.write("x.o", object(&[framed("f.llvm.x", 2, 2)]).build());
    assert_eq!(bench.check(&["-q", "--baseline", "known.txt", "x.o"]).0, 1);
}

#[test]
fn malformed_baselines_are_exit_status_2() {
    let bench = Bench::new();
    bench.write("x.o", object(&[framed("a", 2, 2)]).build());
    let header = "# orctool check baseline 1\n";
    let cases: [(&[u8], usize, &str); 7] = [
        (b"", 1, "does not start"),
        (b"# orctool check baseline 2\n", 1, "does not start"),
        (b"x.o\ta\tlate-row\t-\n", 2, "not five fields"),
        (b"\n# comment\nx.o a late-row - 1\n", 4, "not five fields"),
        (b"x.o\ta\tlate-row\t-\tmany\n", 2, "not a number"),
        (b"x.o\ta\tlate-row\t-\t0\n", 2, "not a number"),
        (b"x.o\ta\tb\t-\t1\nx.o\ta\tb\t-\t2\n", 3, "a second time"),
    ];
    for (number, (text, line, expected)) in cases.into_iter().enumerate() {
        let text = if number < 2 {
            text.to_vec()
        } else {
            [header.as_bytes(), text].concat()
        };
        bench.write("known.txt", text);
        let (status, out, err) = bench.check(&["--baseline", "known.txt", "x.o"]);
        assert_eq!((status, out.as_str()), (2, ""), "{err}");
        let start = format!("orctool: known.txt:{line}: ");
        assert!(err.starts_with(&start) && err.contains(expected), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    // Bytes that are no text are no match, and no panic.
    bench.write(
        "known.txt",
        [header.as_bytes(), b"\xff\xfe\t\t\t\t1\n"].concat(),
    );
    assert_eq!(bench.check(&["-q", "--baseline", "known.txt", "x.o"]).0, 1);
    let (status, _, err) = bench.check(&["--baseline", "missing.txt", "x.o"]);
    assert_eq!(status, 2);
    assert!(err.starts_with("orctool: missing.txt: "), "{err}");
}
