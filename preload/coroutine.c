// SPDX-License-Identifier: BSD-2-Clause
#include "coroutine.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#define STACK_SIZE (256u << 10)
#define GUARD_SIZE 4096u /* below the stack: a page that nobody can touch */

/* makecontext() passes integers only. */
static void run_function(unsigned low, unsigned high)
{
	struct coroutine *coroutine = (struct coroutine *)((uintptr_t)high << 32 | low);

	coroutine->function(coroutine->argument);
	coroutine->active = false;
}

static int create_stack(struct coroutine *coroutine)
{
	char *stack;

	if (coroutine->stack)
		return 0;
	stack = mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return -ENOMEM;
	if (mprotect(stack + GUARD_SIZE, STACK_SIZE, PROT_READ | PROT_WRITE) < 0) {
		munmap(stack, GUARD_SIZE + STACK_SIZE);
		return -ENOMEM;
	}
	coroutine->stack = stack + GUARD_SIZE;
	return 0;
}

int coroutine_start(struct coroutine *coroutine, void (*function)(void *argument), void *argument)
{
	uintptr_t self = (uintptr_t)coroutine;
	int status = create_stack(coroutine);

	if (status < 0)
		return status;
	coroutine->function = function;
	coroutine->argument = argument;
	getcontext(&coroutine->inner);
	coroutine->inner.uc_stack.ss_sp = coroutine->stack;
	coroutine->inner.uc_stack.ss_size = STACK_SIZE;
	coroutine->inner.uc_link = &coroutine->caller;
	makecontext(&coroutine->inner, (void (*)(void))run_function, 2, (unsigned)self,
		    (unsigned)(self >> 32));
	coroutine->active = true;
	return coroutine_resume(coroutine);
}

int coroutine_resume(struct coroutine *coroutine)
{
	swapcontext(&coroutine->caller, &coroutine->inner);
	return !coroutine->active;
}

void coroutine_yield(struct coroutine *coroutine)
{
	swapcontext(&coroutine->inner, &coroutine->caller);
}
