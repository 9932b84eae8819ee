/* SPDX-License-Identifier: MIT */
/* Knows what a held demonstration takes from the rest of nsview-claims, and what it is started with. */
#pragma once

#include "claims.h"

/* Of the runner (main.c). Whether somebody asked it to end. */
bool is_stopped(void);
/* Whether a person means this flag by that word: with or without CLONE_, in whatever case. */
bool is_flag(const char *flag, const char *word);
/* Ends and reaps all that came to be its child: it is their subreaper (prctl(2)). */
void reap_rest(void);
void remove_cgroups(void);
/* As a JSON string, which YAML reads as well; and as one more pair of an object. */
void print_string(const char *text);
void print_pair(const char *key, const char *value);

/* Of the claims about cgroups. A new one below the caller's, removed by the runner. */
const char *make_own_cgroup(void);
pid_t fork_into(int cgroup, uint64_t more);

/*
 * Tells on stdout, as a JSON object, what the demonstration shows and its first process; begins it at the first byte of stdin, and tells by
 * a second one which processes there are, or why not; holds them until stdin ends. `argv`: of main(). The exit status.
 */
int hold(const char *flag, char **argv, const struct claim *(*find)(const char *flag, const char *id));
