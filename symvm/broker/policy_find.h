/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SYMVM_BROKER_POLICY_FIND_H
#define SYMVM_BROKER_POLICY_FIND_H

#include "broker/policy.h"

const struct broker_policy *broker_policy_find(const char *name);

#endif
