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

# A kernel without a build-id, and a table that has none either: its note gets another
# name, its table zeros and the checksum that belongs to them.
drop_build_id() { # FILE NOTES TABLE TABLE_END
	python3 - "$@" <<-'PY'
		import struct, sys
		path, (notes, start, stop) = sys.argv[1], map(int, sys.argv[2:5])
		with open(path, "r+b") as file:
		    file.seek(notes)
		    near = file.read(4096)
		    file.seek(notes + near.index(struct.pack("<III", 4, 20, 3) + b"GNU\0") + 12)
		    file.write(b"XXX\0")
		    file.seek(start)
		    table = bytearray(file.read(stop - start))
		    table[8:36] = bytes(28)
		    words, = struct.unpack_from("<I", table, 56)
		    sum = 0xcbf29ce484222325
		    for word, in struct.iter_unpack("<I", table[: 4 * words]):
		        sum = (sum ^ word) * 0x100000001b3 % 2**64
		    struct.pack_into("<Q", table, 8, sum)
		    file.seek(start)
		    file.write(table)
	PY
}

# damaged_boot NAME COMMAND...: the command gets the image before its operands.
damaged_boot() {
	local log=$LOG_DIR/test-damaged-$1.log image=$BUILD/guest/Image.damaged rc=0
	cp --reflink=auto "$IMAGE" "$image"
	"$2" "$image" "${@:3}"
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
	local start stop notes
	stage_new damaged
	stage_modules "$STAGE"
	start=$(image_offset __start_orc_unwind) && stop=$(image_offset __stop_orc_unwind) ||
		{ result fail "damaged tables" "no __start_orc_unwind in System.map" && return; }
	damaged_boot magic flip_byte "$start"
	damaged_boot build-id flip_byte $((start + 16))
	damaged_boot length flip_byte $((start + 56))
	damaged_boot row flip_byte $(((start + stop) / 2))
	notes=$(image_offset __start_notes) ||
		{ result fail "kernel without a build-id" "no __start_notes in System.map" && return; }
	damaged_boot no-build-id drop_build_id "$notes" "$start" "$stop"
}
