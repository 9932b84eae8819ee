/* SPDX-License-Identifier: MIT */
/* Knows which families of claims there are, in the order in which they are told. */
#pragma once

CLAIMS(fs);
CLAIMS(files);
CLAIMS(mounts);
CLAIMS(users);
CLAIMS(pids);
CLAIMS(net);
CLAIMS(namespaces);
CLAIMS(memory);
CLAIMS(ids);
CLAIMS(traced);
CLAIMS(cgroups);
CLAIMS(refusals);

#define FAMILY(name) {name##_claims, &name##_claims_count}
#define FAMILIES FAMILY(fs), FAMILY(files), FAMILY(mounts), FAMILY(users), FAMILY(pids), FAMILY(net), FAMILY(namespaces), FAMILY(memory), FAMILY(ids), FAMILY(traced), FAMILY(cgroups), FAMILY(refusals)
