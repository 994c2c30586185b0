/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libguestview: a VMM asks its guest, and gets plain structures as answers. It works on the public
 * API of libsymcall and on a small handle, `struct guest`, that the embedder implements once. It
 * knows no event loop, no JSON and no command line; it creates no thread and has no process-wide
 * state. Each feature has a header and a file of its own (ps, who, whoami, stack, meminfo); this
 * header has what they share. See docs/develop/guestview.md.
 *
 * Threads: a function may be called by any thread but a vCPU's, and waits, unless it says
 * otherwise. Calls of several threads on one guest may run at the same time.
 *
 * Errors are negative errno values, with words in a struct guest_error that the caller owns. Where
 * a function lists no errors, it has those of guest_call().
 *
 * What a guest answers is its claim. A decoder checks each length and each count, and ends each
 * text with a NUL. It does not make text printable: a text may hold any other byte, so a program
 * that shows it must escape it. Amounts (bytes, times, numbers of processes) are passed on
 * unchecked.
 */
#ifndef GUESTVIEW_GUESTVIEW_H
#define GUESTVIEW_GUESTVIEW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <symbiotic/symcall.h>

#define GUEST_API __attribute__((visibility("default")))

struct guest_error {
	char text[256]; /* one line, NUL terminated */
};

/*
 * Sets the text of @err (printf style; what does not fit is cut) and returns @status, a negative
 * errno. @err may be NULL. The embedder's operations may use it, too. Any thread.
 */
GUEST_API int guest_error_set(struct guest_error *err, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The operations that the embedder implements. All but `log` must be there. */
struct guest_ops {
	/* The number of vCPUs, at least 1. It does not change. Any thread. */
	unsigned (*vcpu_count)(void *opaque);
	/*
	 * libsymcall's state of @vcpu, a number below vcpu_count(). Not NULL while check() returns
	 * 0. Any thread; it must live as long as the guest's handle is used.
	 */
	struct sym_vcpu *(*engine)(void *opaque, unsigned vcpu);
	/*
	 * Runs @function(@argument) on the thread of @vcpu, at a point where sym_call() is allowed
	 * (between two exits), and returns 0 after it has ended. If it has not begun after
	 * @timeout_ms (at least 1): -ETIMEDOUT, and it never runs. -EBUSY or -ESHUTDOWN if the
	 * guest must not run; check() has the words. Called on the thread that asks.
	 */
	int (*run_on)(void *opaque, unsigned vcpu, void (*function)(void *argument), void *argument,
		      unsigned timeout_ms);
	/*
	 * Whether the guest can be asked now: 0, or with words in @err -ESHUTDOWN (it has ended),
	 * -EBUSY (it is paused or being reset) or -EOPNOTSUPP (the VM does not offer the symbiotic
	 * interface). Any thread; it does not wait.
	 */
	int (*check)(void *opaque, struct guest_error *err);
	/*
	 * Optional: one line of text without a newline. The guest can cause it again and again, so
	 * the embedder bounds it. Any thread, also a vCPU's.
	 */
	void (*log)(void *opaque, enum sym_log_level level, const char *message);
};

/* A guest that can be asked. The embedder owns it. A copy is as good, while @ops lives. */
struct guest {
	const struct guest_ops *ops;
	void *opaque; /* for @ops */
};

/* The end of a question. The caller owns it. */
struct guest_limit {
	uint64_t end_ns;	 /* CLOCK_MONOTONIC, nanoseconds */
	const _Atomic bool *cut; /* true: nobody wants the answer any more; NULL: not used */
};

/* Milliseconds that are left, rounded up; 0: it is over. Any thread. */
GUEST_API uint64_t guest_limit_left_ms(const struct guest_limit *limit);

/* guest_call() never takes longer, whatever the limit says. */
#define GUEST_CALL_TIMEOUT_MS 2000u

/*
 * Makes an atomic call on @vcpu between two of its exits. If the guest is at a point that allows no
 * call, it tries again. Waits at most GUEST_CALL_TIMEOUT_MS, and not beyond @limit. Errors:
 *   -ENXIO            there is no such vCPU
 *   -EBUSY, -ESHUTDOWN, -EOPNOTSUPP  from ops->check(), before each try
 *   -ETIMEDOUT        the time is over
 *   -EPROTO           the message is longer than request->message_size
 *   (other)           those of sym_call()
 * A negative errno of the guest's handler is in result->value, and is not an error here.
 */
GUEST_API int guest_call(const struct guest *guest, unsigned vcpu, const struct guest_limit *limit,
			 const struct sym_call_request *request, struct sym_call_result *result,
			 struct guest_error *err);

/*
 * The same on the first vCPU from *@vcpu on that can be asked, and sets *@vcpu to it: for a
 * question to the guest's kernel that any vCPU answers. A vCPU that is not registered, whose calls
 * are off, or that does not answer in time, is left out.
 */
GUEST_API int guest_call_any(const struct guest *guest, unsigned *vcpu,
			     const struct guest_limit *limit,
			     const struct sym_call_request *request, struct sym_call_result *result,
			     struct guest_error *err);

/*
 * As guest_call() for a call that answers by a message of exactly @size bytes (a structure of
 * abi.h), which goes to @message. In addition: -EPROTO if the guest sent another length; the errno
 * with which the guest refused the call.
 */
GUEST_API int guest_call_message(const struct guest *guest, unsigned vcpu,
				 const struct guest_limit *limit, uint64_t number, void *message,
				 size_t size, struct guest_error *err);

/*
 * For decoders: copies the guest's text in @size bytes at @text, up to its first NUL if it has one,
 * to @out, which has room for @size + 1 bytes, and ends it with a NUL. Any thread.
 */
GUEST_API void guest_text_copy(char *out, const void *text, size_t size);

/* For decoders: a task's state as one printable character, '?' if the guest gave none. */
static inline char guest_task_state(uint32_t state)
{
	return state > ' ' && state < 0x7f ? (char)state : '?';
}

#endif
