/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control commands that run on worker threads. The main loop submits a job and is called when it
 * ends; it never waits for one. A job has an absolute limit that counts from its submission. When
 * it is over, the client gets an error, and the job is dropped (queued) or cut short (running).
 *
 * There are two lanes. Commands that do not wait for a guest have a worker of their own, so that
 * `info` is answered while guests are asked.
 */
#ifndef SYMVM_CONTROL_JOBS_H
#define SYMVM_CONTROL_JOBS_H

#include "control/control.h"
#include "control/protocol.h"

struct control_jobs;
struct control_job;

#define CONTROL_JOBS_MAX 32u /* queued and running */

/*
 * Called on the main loop when the job of @client is over. @answer is the line to send (owned by
 * the callee; NULL: out of memory).
 */
typedef void (*control_job_ended)(void *client, char *answer);

/* Creates the queue. @ended is called on vm->main_loop. Main thread. -errno with words. */
int control_jobs_create(struct vm *vm, control_job_ended ended, struct control_jobs **jobs,
			struct error *err);
/* Starts the workers, after vm->jail is set, and does not wait for them. Main thread. -errno with
 * words. */
int control_jobs_start(struct control_jobs *jobs, struct error *err);
/* Waits until each worker that was started is in its jail. Main thread. -errno with words if one is
 * not. */
int control_jobs_wait_ready(struct control_jobs *jobs, struct error *err);
/*
 * Cuts running jobs short, waits for the workers and frees everything; @ended is not called any
 * more. Main thread, when the loop no longer runs.
 */
void control_jobs_destroy(struct control_jobs *jobs);

/*
 * Queues @command of @client. @request is taken over on success. -EBUSY: CONTROL_JOBS_MAX are
 * under way; -ENOMEM. Main loop.
 */
int control_jobs_submit(struct control_jobs *jobs, const struct control_command *command,
			struct control_request *request, void *client, struct control_job **job);
/*
 * The client of @job left: a query is dropped or cut short, any other command is carried out.
 * Returns whether @ended will still be called for it. Main loop.
 */
bool control_job_client_left(struct control_job *job);
/* @ended is not called for @job any more. If it is still queued, it is dropped. Main loop. */
void control_job_forget(struct control_job *job);

/*
 * Informs the clients of jobs whose limit is over. Returns whether any job is under way. Main loop.
 */
bool control_jobs_expire(struct control_jobs *jobs);

#endif
