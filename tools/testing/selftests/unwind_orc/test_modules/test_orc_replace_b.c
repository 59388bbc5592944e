// SPDX-License-Identifier: GPL-2.0
#include "test_orc_replace.h"
