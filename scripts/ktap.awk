# SPDX-License-Identifier: GPL-2.0
#
# Reads what the guest's job printed and prints one line per test: pass, fail or
# skip, its name, the reason; with tabs between. A section starts with
# "ORC-SECTION name kind", kind kunit or kselftest, and one that yields nothing
# is a failure, and so is a plan that was not fulfilled.
#
# In kselftest sections a script counts as one test, unless it prints KTAP of
# its own: then each of its tests counts.

function emit(outcome, what, why) {
	printf "%s\t%s\t%s\n", outcome, what, why
	in_section++
}

# "ok 3 - name # SKIP why" -> outcome, what, why
function parse(line,    n) {
	outcome = (line ~ /^not ok/) ? "fail" : "pass"
	sub(/^(not )?ok[ \t]*/, "", line)
	sub(/^[0-9]+[ \t]*/, "", line)
	sub(/^- /, "", line)
	why = ""
	n = index(line, " # ")
	if (n) {
		why = substr(line, n + 3)
		line = substr(line, 1, n - 1)
	}
	if (why ~ /^(SKIP|skip)/) {
		outcome = "skip"
		sub(/^(SKIP|skip)[: ]*/, "", why)
	} else if (why ~ /^(TODO|XFAIL)/ && outcome == "fail") {
		outcome = "skip"
	}
	what = line
}

function plan_check(name, planned, ran) {
	if (planned >= 0 && ran < planned)
		emit("fail", name, "planned " planned " tests, ran " ran)
}

function start_script() {
	nested = nested_failed = 0
	nested_plan = -1
	last = skip_why = ""
}

function start_suite() {
	cases = 0
	case_plan = -1
}

function end_section() {
	flush()
	if (section == "")
		return
	if (kind == "kselftest")
		plan_check(section, plan, scripts)
	if (!in_section)
		emit("fail", section, "no test ran")
}

function script_result(    name) {
	flush()
	parse($0)
	scripts++
	name = what
	sub(/^selftests: /, "", name)
	if (nested) {
		plan_check(name, nested_plan, nested)
		if (outcome == "fail" && !nested_failed)
			emit("fail", name, why == "" ? last : why)
	} else {
		if (outcome == "skip" && why == "")
			why = skip_why
		if (outcome == "fail" && last != "")
			why = why (why == "" ? "" : ", ") "last line: " last
		emit(outcome, name, why)
	}
	start_script()
}

# A test of a script says why it failed in the lines after its result, so a
# failure waits for them.
function nested_result(line) {
	flush()
	parse(line)
	nested++
	if (outcome == "fail") {
		nested_failed++
		held = section ": " script ": " what
		held_why = why
	} else {
		emit(outcome, section ": " script ": " what, why)
	}
}

function flush() {
	if (held != "")
		emit("fail", held, held_why)
	held = ""
}

function note(line) {
	gsub(/^[# \t]+|[ \t]+$/, "", line)
	if (line == "" || length(held_why) > 160)
		return
	held_why = held_why (held_why == "" ? "" : "; ") line
}

{ sub(/\r$/, "") }

/^ORC-SECTION / {
	end_section()
	section = $2
	kind = $3
	in_section = scripts = 0
	plan = -1
	start_script()
	start_suite()
	next
}

/^ORC-RESULT\t/ {
	split($0, field, "\t")
	emit(field[2], field[3], field[4])
	next
}

kind == "kselftest" && /^1\.\.[0-9]+/ { plan = substr($0, 4) + 0; next }
kind == "kselftest" && /^(not )?ok / { script_result(); next }
kind == "kselftest" && /^# selftests: / {
	script = $0
	sub(/^# selftests: [^:]*: /, "", script)
	start_script()
	next
}
kind == "kselftest" && /^# 1\.\.[0-9]+/ { nested_plan = substr($0, 6) + 0; next }
kind == "kselftest" && /^# (not )?ok / { nested_result(substr($0, 3)); next }
kind == "kselftest" && /^# .*(SKIP: |skip all tests: )/ {
	skip_why = $0
	sub(/^.*(SKIP: |skip all tests: )/, "", skip_why)
	next
}
kind == "kselftest" && /^# ./ {
	if (held != "")
		note(substr($0, 3))
	last = substr($0, 3)
	next
}

kind == "kunit" && /^    # Subtest: / {
	start_suite()
	suite = substr($0, index($0, ": ") + 2)
	next
}
kind == "kunit" && /^    1\.\.[0-9]+/ { case_plan = substr($0, 8) + 0; next }
kind == "kunit" && /^    (not )?ok / {
	line = $0
	sub(/^    /, "", line)
	parse(line)
	cases++
	if (outcome == "fail" && why == "")
		why = last
	emit(outcome, section ": " suite ": " what, why)
	last = ""
	next
}
kind == "kunit" && /^    # ./ {
	last = $0
	sub(/^[ #]*/, "", last)
	next
}
kind == "kunit" && /^(not )?ok / {
	parse($0)
	plan_check(section ": " what, case_plan, cases)
	if (!cases)
		emit(outcome, section ": " what, why)
	start_suite()
	next
}

END { end_section() }
