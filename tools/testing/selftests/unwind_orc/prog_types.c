// SPDX-License-Identifier: GPL-2.0
#include <linux/btf.h>
#include <string.h>

#include "bpf_insns.h"
#include "prog_types.h"

/* More than all there is. */
#define MAX_BYTES	512

static char types[MAX_BYTES];
static char names[MAX_BYTES];
static unsigned int types_len, names_len;

static void add(const void *part, unsigned int size)
{
	if (types_len + size > sizeof(types))
		abort();
	memcpy(types + types_len, part, size);
	types_len += size;
}

static __u32 add_name(const char *name)
{
	__u32 offset = names_len;

	size_t size = strlen(name) + 1;

	/* Types without a name have the empty one at the start. */
	if (!*name && names_len)
		return 0;
	if (names_len + size > sizeof(names))
		abort();
	memcpy(names + names_len, name, size);
	names_len += size;
	return offset;
}

static void add_type(unsigned int kind, unsigned int vlen, const char *name, __u32 size_or_type)
{
	const struct btf_type type = {
		.name_off = add_name(name),
		.info = kind << 24 | vlen,
		.size = size_or_type,
	};

	add(&type, sizeof(type));
}

static void add_integer(const char *name, __u32 bytes, __u32 encoding)
{
	const __u32 data = encoding << 24 | bytes * 8;

	add_type(BTF_KIND_INT, 0, name, bytes);
	add(&data, sizeof(data));
}

static void add_proto(__u32 result, __u32 argument)
{
	const struct btf_param param = { .name_off = add_name("arg"), .type = argument };

	add_type(BTF_KIND_FUNC_PROTO, 1, "", result);
	add(&param, sizeof(param));
}

static void add_callback_tag(__u32 function)
{
	const __s32 whole_function = -1;

	add_type(BTF_KIND_DECL_TAG, 0, "exception_callback:callback", function);
	add(&whole_function, sizeof(whole_function));
}

static void add_all(bool throws)
{
	add_name("");
	add_integer("int", 4, BTF_INT_SIGNED);				/* 1 */
	add_type(BTF_KIND_PTR, 0, "", 0);				/* 2 */
	add_proto(1, 2);						/* 3 */
	add_type(BTF_KIND_FUNC, BTF_FUNC_GLOBAL, "traced", 3);		/* 4 */
	add_integer("long", 8, 0);					/* 5 */
	add_proto(1, 5);						/* 6 */
	add_type(BTF_KIND_FUNC, BTF_FUNC_GLOBAL, "callback", 6);	/* 7 */
	if (throws)
		add_callback_tag(TRACED_TYPE_ID);
}

int load_prog_types(bool throws)
{
	static struct {
		struct btf_header header;
		char rest[2 * MAX_BYTES];
	} blob;
	union bpf_attr attr = { .btf = (unsigned long)&blob };
	int fd;

	add_all(throws);
	blob.header = (struct btf_header) {
		.magic = BTF_MAGIC,
		.version = BTF_VERSION,
		.hdr_len = sizeof(blob.header),
		.type_len = types_len,
		.str_off = types_len,
		.str_len = names_len,
	};
	memcpy(blob.rest, types, types_len);
	memcpy(blob.rest + types_len, names, names_len);
	attr.btf_size = sizeof(blob.header) + types_len + names_len;
	fd = bpf(BPF_BTF_LOAD, &attr);
	if (fd < 0)
		die("BPF_BTF_LOAD");
	return fd;
}
