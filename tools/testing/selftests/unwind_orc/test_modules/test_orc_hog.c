// SPDX-License-Identifier: GPL-2.0
/* The CPU-bound threads of the livepatch demonstration, as a test module. */
#include "unwind_orc_hog.c"
