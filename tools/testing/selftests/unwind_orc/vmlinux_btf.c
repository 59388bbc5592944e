// SPDX-License-Identifier: GPL-2.0
#include <fcntl.h>
#include <linux/btf.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmlinux_btf.h"

#define FILE_NAME	"/sys/kernel/btf/vmlinux"

static const struct btf_header *header;

/* The whole file, read by copies: not all kernels let it be mapped. */
static bool open_btf(void)
{
	struct stat st;
	size_t have = 0;
	ssize_t got;
	char *data;
	int fd;

	if (header)
		return true;
	fd = open(FILE_NAME, O_RDONLY);
	if (fd < 0 || fstat(fd, &st))
		return false;
	data = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (data == MAP_FAILED)
		return false;
	while (have < (size_t)st.st_size) {
		got = read(fd, data + have, st.st_size - have);
		if (got <= 0)
			return false;
		have += got;
	}
	close(fd);
	header = (const struct btf_header *)data;
	return header->magic == BTF_MAGIC;
}

static const char *name_of(__u32 offset)
{
	return (const char *)header + header->hdr_len + header->str_off + offset;
}

/* Bytes that follow the fixed part of a type. */
static size_t extra(const struct btf_type *type)
{
	unsigned int vlen = BTF_INFO_VLEN(type->info);

	switch (BTF_INFO_KIND(type->info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		return 4;
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return vlen * sizeof(struct btf_member);
	case BTF_KIND_ENUM:
		return vlen * sizeof(struct btf_enum);
	case BTF_KIND_ENUM64:
		return vlen * sizeof(struct btf_enum64);
	case BTF_KIND_FUNC_PROTO:
		return vlen * sizeof(struct btf_param);
	case BTF_KIND_DATASEC:
		return vlen * sizeof(struct btf_var_secinfo);
	default:
		return 0;
	}
}

/* The type with this number or, if that is 0, of this kind and name. */
static const struct btf_type *find(int *id, unsigned int kind, const char *name)
{
	const char *at, *end;
	int number = 0;

	if (!open_btf())
		return NULL;
	at = (const char *)header + header->hdr_len + header->type_off;
	end = at + header->type_len;
	while (at < end) {
		const struct btf_type *type = (const struct btf_type *)at;

		number++;
		if (*id ? *id == number :
			  BTF_INFO_KIND(type->info) == kind &&
			  !strcmp(name_of(type->name_off), name)) {
			*id = number;
			return type;
		}
		at += sizeof(*type) + extra(type);
	}
	return NULL;
}

int vmlinux_btf_id(unsigned int kind, const char *name)
{
	int id = 0;

	return find(&id, kind, name) ? id : 0;
}

int vmlinux_btf_member(int id, const char *name)
{
	const struct btf_type *type = find(&id, BTF_KIND_STRUCT, NULL);
	const struct btf_member *members = (const struct btf_member *)(type + 1);

	for (unsigned int i = 0; type && i < BTF_INFO_VLEN(type->info); i++)
		if (!strcmp(name_of(members[i].name_off), name))
			return i;
	return -1;
}
