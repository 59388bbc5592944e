// SPDX-License-Identifier: GPL-2.0
/*
 * Damages the unwind tables of a module, for test-tables.sh.
 *
 *   orc_table list FILE                        section and size of each table
 *   orc_table flip FILE OUT SECTION BYTE BIT   one bit of a table
 *   orc_table cut FILE OUT SECTION SIZE        the table ends after SIZE bytes
 *   orc_table grow FILE OUT SECTION BYTES      a section is as much longer
 *   orc_table swap FILE OUT SECTION SECTION    two sections change names
 *   orc_table link FILE OUT SECTION SECTION    the first is linked to the second
 *
 * It knows ELF and nothing of the format of the tables.
 */
#include <errno.h>
#include <linux/elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX	".orc_unwind"

struct image {
	unsigned char *bytes;
	size_t size;
	struct elf64_hdr *header;
	struct elf64_shdr *sections;
	const char *names;
};

static void die(const char *what, const char *name)
{
	fprintf(stderr, "orc_table: %s: %s\n", name, what);
	exit(2);
}

static void read_image(struct image *image, const char *name)
{
	FILE *file = fopen(name, "rb");
	long size = -1;

	if (file && !fseek(file, 0, SEEK_END))
		size = ftell(file);
	if (size < 0)
		die(strerror(errno), name);
	image->size = size;
	image->bytes = malloc(size + 1);
	rewind(file);
	if (!image->bytes || fread(image->bytes, 1, size, file) != image->size)
		die("cannot read it", name);
	fclose(file);
}

static void parse(struct image *image, const char *name)
{
	struct elf64_hdr *header = (struct elf64_hdr *)image->bytes;
	struct elf64_shdr *strings;

	if (image->size < sizeof(*header) || memcmp(header->e_ident, ELFMAG, SELFMAG) ||
	    header->e_ident[EI_CLASS] != ELFCLASS64 ||
	    header->e_shentsize != sizeof(struct elf64_shdr))
		die("not a 64-bit ELF file", name);
	if (header->e_shoff > image->size ||
	    header->e_shnum * sizeof(struct elf64_shdr) > image->size - header->e_shoff ||
	    header->e_shstrndx >= header->e_shnum)
		die("its section headers are outside", name);
	image->header = header;
	image->sections = (struct elf64_shdr *)(image->bytes + header->e_shoff);
	strings = &image->sections[header->e_shstrndx];
	if (strings->sh_offset > image->size ||
	    strings->sh_size > image->size - strings->sh_offset || !strings->sh_size)
		die("its section names are outside", name);
	image->names = (const char *)image->bytes + strings->sh_offset;
	/* So that each name ends within the file; it should be NUL already. */
	image->bytes[strings->sh_offset + strings->sh_size - 1] = '\0';
}

static struct elf64_shdr *find(const struct image *image, const char *wanted,
			       const char *name)
{
	unsigned int i;

	for (i = 0; i < image->header->e_shnum; i++) {
		struct elf64_shdr *s = &image->sections[i];

		if (strcmp(image->names + s->sh_name, wanted))
			continue;
		if (s->sh_offset > image->size || s->sh_size > image->size - s->sh_offset)
			die("the table is outside", name);
		return s;
	}
	die("no such section", wanted);
	return NULL;
}

static void write_image(const struct image *image, const char *name)
{
	FILE *file = fopen(name, "wb");

	if (!file || fwrite(image->bytes, 1, image->size, file) != image->size ||
	    fclose(file))
		die("cannot write it", name);
}

static int list(const struct image *image)
{
	unsigned int i;

	for (i = 0; i < image->header->e_shnum; i++) {
		const struct elf64_shdr *s = &image->sections[i];
		const char *name = image->names + s->sh_name;

		if (!strncmp(name, PREFIX, strlen(PREFIX)))
			printf("%s %llu\n", name, (unsigned long long)s->sh_size);
	}
	return 0;
}

static unsigned long to_number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 0);

	if (!*text || *end)
		die("not a number", text);
	return value;
}

static void swap_names(struct elf64_shdr *a, struct elf64_shdr *b)
{
	unsigned int name = a->sh_name;

	a->sh_name = b->sh_name;
	b->sh_name = name;
}

/* Changes section @s as @argv says; of the commands with two operands. */
static int change(struct image *image, struct elf64_shdr *s, char **argv)
{
	if (!strcmp(argv[1], "grow"))
		s->sh_size += to_number(argv[5]);
	else if (!strcmp(argv[1], "swap"))
		swap_names(s, find(image, argv[5], argv[2]));
	else if (!strcmp(argv[1], "link"))
		s->sh_link = find(image, argv[5], argv[2]) - image->sections;
	else
		return 0;
	return 1;
}

static int say_usage(void)
{
	fprintf(stderr, "usage: orc_table list FILE\n"
		"       orc_table flip FILE OUT SECTION BYTE BIT\n"
		"       orc_table cut FILE OUT SECTION SIZE\n"
		"       orc_table grow FILE OUT SECTION BYTES\n"
		"       orc_table swap FILE OUT SECTION SECTION\n"
		"       orc_table link FILE OUT SECTION SECTION\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct image image;
	struct elf64_shdr *s;

	if (argc == 3 && !strcmp(argv[1], "list")) {
		read_image(&image, argv[2]);
		parse(&image, argv[2]);
		return list(&image);
	}
	if (!(argc == 7 && !strcmp(argv[1], "flip")) && argc != 6)
		return say_usage();

	read_image(&image, argv[2]);
	parse(&image, argv[2]);
	s = find(&image, argv[4], argv[2]);
	if (argc == 7 || !strcmp(argv[1], "cut")) {
		if (to_number(argv[5]) >= s->sh_size)
			die("beyond the end of the table", argv[5]);
		if (argc == 7)
			image.bytes[s->sh_offset + to_number(argv[5])] ^=
				1 << (to_number(argv[6]) & 7);
		else
			s->sh_size = to_number(argv[5]);
	} else if (!change(&image, s, argv)) {
		return say_usage();
	}
	write_image(&image, argv[3]);
	return 0;
}
