# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Boots the kernel with one byte of its own table changed, once for each part of
# the table. What is damaged is the image, so the build has nothing to say.
# Sourced after stage.sh and results.sh.

# Offset of a symbol of vmlinux in the image.
image_offset() { # SYMBOL
	awk -v symbol="$1" '$3 == "_text" { base = $1 } $3 == symbol { at = $1 }
		END { if (base == "" || at == "") exit 1; print base, at }' "$KERNEL_OUT/System.map" |
		{ read -r base at && echo $((16#$at - 16#$base)); }
}

flip_byte() { # FILE OFFSET
	python3 - "$1" "$2" <<-'PY'
		import sys
		path, offset = sys.argv[1], int(sys.argv[2])
		with open(path, "r+b") as file:
		    file.seek(offset)
		    byte = file.read(1)
		    file.seek(offset)
		    file.write(bytes([byte[0] ^ 0x10]))
	PY
}

# damaged_boot NAME OFFSET: OFFSET in the image.
damaged_boot() {
	local log=$LOG_DIR/test-damaged-$1.log image=$BUILD/guest/Image.damaged rc=0
	cp --reflink=auto "$IMAGE" "$image"
	flip_byte "$image" "$2"
	stage_job "$STAGE" "$TOP/scripts/guest/damaged-job"
	sed -i "s/DAMAGE:/$1:/" "$STAGE/orc/job"
	STEP_MAY_FAIL=1 step "guest tests: the table of vmlinux damaged ($1)" "damaged-boot-$1" \
		bash "$TOP/scripts/guest.sh" "$image" "test-damaged-$1" "$STAGE" 300 || rc=$?
	awk -f "$TOP/scripts/ktap.awk" "$log" | results_add
	if ((rc)); then
		result fail "guest with a damaged table ($1)" "$(tail -n 1 "$LOG_DIR/damaged-boot-$1.log")"
	fi
	rm -f "$image"
}

# Header fields by their offset in it (rust/orc/src/format.rs), and a row.
damaged_table_tests() {
	local start stop
	stage_new damaged
	stage_modules "$STAGE"
	start=$(image_offset __start_orc_unwind) && stop=$(image_offset __stop_orc_unwind) ||
		{ result fail "damaged tables" "no __start_orc_unwind in System.map" && return; }
	damaged_boot magic "$start"
	damaged_boot build-id $((start + 16))
	damaged_boot length $((start + 52))
	damaged_boot row $(((start + stop) / 2))
}
