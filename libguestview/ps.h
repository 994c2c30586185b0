/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's processes or threads (SYM_CALL_TASKS). */
#ifndef GUESTVIEW_PS_H
#define GUESTVIEW_PS_H

#include "guestview.h"

/* The most tasks of a listing: as many as Linux has pids by default. */
#define GUEST_PS_MAX 32768u
/* The most bytes of all command lines of a listing. */
#define GUEST_PS_TEXT (1u << 20)

#define GUEST_PS_THREADS (1u << 0) /* all threads, not only processes */
#define GUEST_PS_TEXTS                                                            \
	(1u << 1) /* with wait channels and command lines, if its module has them \
		   */

struct guest_task {
	uint32_t pid;
	uint32_t tgid;
	uint32_t ppid;
	uint32_t uid;
	char state; /* as ps shows it, R S D T t X Z P I; '?': the guest gave no printable one */
	bool kernel_thread;
	uint32_t cpu;	   /* the CPU on which it runs, or last ran */
	uint32_t threads;  /* of its process */
	uint64_t rss;	   /* bytes, of its process */
	uint64_t utime_ns; /* of the process; of the thread if threads are listed */
	uint64_t stime_ns;
	uint64_t start_ns; /* the guest's boot-time clock */
	char comm[17];
	char cgroup[49]; /* the end of its path */
	/* With GUEST_PS_TEXTS: */
	char wait_channel[49]; /* the kernel function in which it waits; empty: none */
	bool args_cut;	      /* its command line is longer, or could not be read without waiting */
	uint32_t args;	      /* guest_task_args() */
	uint32_t args_length; /* without the NUL that follows; 0: a process without one, or a thread
			       */
};

struct guest_ps {
	struct guest_task *tasks; /* of one moment, in the guest's order; guest_ps_free() */
	size_t count;		  /* at most GUEST_PS_MAX */
	bool complete;		  /* false: the guest has more than GUEST_PS_MAX */
	bool texts;		  /* it has wait channels and command lines */
	char *text;		  /* of all command lines */
	size_t text_size;	  /* at most GUEST_PS_TEXT */
};

/* The command line of @task, of @list: task->args_length bytes, with a NUL between two arguments.
 */
static inline const char *guest_task_args(const struct guest_ps *list,
					  const struct guest_task *task)
{
	return task->args_length ? list->text + task->args : "";
}

/*
 * Lists the guest's processes; @flags is GUEST_PS_*. If the guest's module is too old for the
 * texts, they are left out. On success the caller frees @list; on failure nothing is left in it.
 * Errors: those of guest_fetch() (fetch.h); -ENOMEM.
 */
GUEST_API int guest_ps(const struct guest *guest, const struct guest_limit *limit, unsigned flags,
		       struct guest_ps *list, struct guest_error *err);
/* Frees the tasks of @list, not @list itself. Any thread; does not wait. */
GUEST_API void guest_ps_free(struct guest_ps *list);

/* Decodes one record of sizeof(struct sym_task) bytes. Any thread; does not wait. */
GUEST_API void guest_task_decode(const void *record, struct guest_task *task);

#endif
