// SPDX-License-Identifier: BSD-2-Clause
/*
 * The queue between the main loop and the workers.
 *
 * A job is queued, running or ended. Submitting puts it at the end of its lane's queue, and a
 * worker of that lane takes it. The worker makes the answer's line, marks the job as ended and
 * signals an eventfd; the main loop then hands the answer to the client and frees the job. If a
 * job's limit is over, a queued job is removed and a running one returns soon. If its client has
 * left, the job's answer is dropped.
 */
#include "control/jobs.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "jail/jail.h"
#include "machine/vm.h"

enum lane {
	LANE_QUICK, /* does not wait for a guest */
	LANE_GUEST,
	LANES,
};

#define WORKERS 5u

/* Three may be kept by watches (`who`, two `exits`), so one is left for other questions. */
static const enum lane worker_lanes[WORKERS] = {LANE_QUICK, LANE_GUEST, LANE_GUEST, LANE_GUEST,
						LANE_GUEST};

enum job_state {
	JOB_QUEUED,
	JOB_RUNNING,
	JOB_ENDED,
};

struct control_job {
	struct control_jobs *jobs;
	const struct control_command *command;
	struct control_request request;
	struct wait_limit limit;
	enum job_state state; /* guarded by jobs->lock */
	char *answer;	      /* valid when ended */
	void *client;	      /* NULL: nobody waits for the answer. Main loop only, as the rest */
	struct control_job *next;
	struct control_job *next_queued; /* guarded by jobs->lock */
};

struct worker {
	struct control_jobs *jobs;
	enum lane lane;
	pthread_t thread;
};

struct control_jobs {
	struct vm *vm;
	control_job_ended ended;
	int ended_fd; /* eventfd: some job ended */
	struct event_source *ended_source;
	struct control_job *all; /* main loop only */
	unsigned count;
	struct worker workers[WORKERS];
	unsigned worker_count;
	pthread_mutex_t lock; /* guards the members below */
	pthread_cond_t changed;
	struct control_job *queues[LANES];
	bool stopping;
	unsigned workers_ready;
	int worker_status; /* first failure to start */
	struct error worker_err;
};

static void job_free(struct control_job *job)
{
	struct control_jobs *jobs = job->jobs;
	struct control_job **link = &jobs->all;

	while (*link != job)
		link = &(*link)->next;
	*link = job->next;
	jobs->count--;
	control_request_free(&job->request);
	free(job->answer);
	free(job);
}

static void job_run(struct control_job *job)
{
	const struct control_command *command = job->command;
	struct vm *vm = job->jobs->vm;
	struct error err = {0};
	json_t *result = NULL;
	int code;

	if (command->handle_file)
		code = command->handle_file(vm, job->request.arguments, job->request.file.fd,
					    &job->limit, &result, &err);
	else if (command->handle_until)
		code = command->handle_until(vm, job->request.arguments, &job->limit, &result,
					     &err);
	else
		code = command->handle(vm, job->request.arguments, &result, &err);
	if (code != 0) {
		json_decref(result);
		result = NULL;
	}
	/* Here and not on the main loop, because an answer may be big. */
	job->answer = control_answer(&job->request, code, result, &err);
}

static enum lane lane_of(const struct control_command *command)
{
	return command->may_wait || command->handle_until || command->handle_file ? LANE_GUEST
										  : LANE_QUICK;
}

/* Removes @job from its queue if it is still there; the lock is held. */
static bool job_unqueue(struct control_job *job)
{
	struct control_job **link = &job->jobs->queues[lane_of(job->command)];

	if (job->state != JOB_QUEUED)
		return false;
	while (*link != job)
		link = &(*link)->next_queued;
	*link = job->next_queued;
	return true;
}

int control_jobs_submit(struct control_jobs *jobs, const struct control_command *command,
			struct control_request *request, void *client, struct control_job **out)
{
	struct control_job *job, **tail = &jobs->queues[lane_of(command)];

	if (jobs->count >= CONTROL_JOBS_MAX)
		return -EBUSY;
	job = calloc(1, sizeof(*job));
	if (!job)
		return -ENOMEM;
	job->jobs = jobs;
	job->command = command;
	job->request = *request;
	memset(request, 0, sizeof(*request));
	job->client = client;
	wait_limit_init(&job->limit, command->limit_ms ? command->limit_ms : CONTROL_LIMIT_MS);
	job->next = jobs->all;
	jobs->all = job;
	jobs->count++;
	*out = job;
	pthread_mutex_lock(&jobs->lock);
	while (*tail)
		tail = &(*tail)->next_queued;
	*tail = job;
	pthread_cond_broadcast(&jobs->changed);
	pthread_mutex_unlock(&jobs->lock);
	return 0;
}

void control_job_forget(struct control_job *job)
{
	struct control_jobs *jobs = job->jobs;
	bool queued;

	job->client = NULL;
	atomic_store(&job->limit.cut, true);
	pthread_mutex_lock(&jobs->lock);
	queued = job_unqueue(job);
	pthread_mutex_unlock(&jobs->lock);
	if (queued)
		job_free(job);
}

bool control_job_client_left(struct control_job *job)
{
	if (!job->command->is_query)
		return true;
	control_job_forget(job);
	return false;
}

static void job_expire(struct control_job *job)
{
	struct control_jobs *jobs = job->jobs;
	void *client = job->client;
	struct error err;
	char *answer;

	error_set(&err, -ETIMEDOUT, "'%s' was not done in time", job->command->name);
	answer = control_answer(&job->request, -ETIMEDOUT, NULL, &err);
	control_job_forget(job);
	jobs->ended(client, answer);
}

bool control_jobs_expire(struct control_jobs *jobs)
{
	struct control_job *job, *next;

	for (job = jobs->all; job; job = next) {
		next = job->next;
		if (job->client && wait_limit_over(&job->limit)) {
			job_expire(job);
			next = jobs->all; /* @ended may have changed the list */
		}
	}
	return jobs->all != NULL;
}

/* Some jobs ended. */
static void jobs_ended(void *opaque, uint32_t events)
{
	struct control_jobs *jobs = opaque;
	struct control_job *job, *next;
	uint64_t count;

	if (read(jobs->ended_fd, &count, sizeof(count)) < 0)
		return;
	for (job = jobs->all; job; job = next) {
		void *client = job->client;
		char *answer = job->answer;
		bool ended;

		next = job->next;
		pthread_mutex_lock(&jobs->lock);
		ended = job->state == JOB_ENDED;
		pthread_mutex_unlock(&jobs->lock);
		if (!ended)
			continue;
		job->answer = NULL;
		job_free(job);
		client ? jobs->ended(client, answer) : free(answer);
		next = jobs->all;
	}
}

/* Takes the next job of @lane, or returns NULL when the server stops. */
static struct control_job *take_job(struct control_jobs *jobs, enum lane lane)
{
	struct control_job *job;

	pthread_mutex_lock(&jobs->lock);
	while (!jobs->queues[lane] && !jobs->stopping)
		pthread_cond_wait(&jobs->changed, &jobs->lock);
	job = jobs->stopping ? NULL : jobs->queues[lane];
	if (job) {
		jobs->queues[lane] = job->next_queued;
		job->state = JOB_RUNNING;
	}
	pthread_mutex_unlock(&jobs->lock);
	return job;
}

static int worker_enter(struct worker *worker)
{
	struct control_jobs *jobs = worker->jobs;
	struct error err;
	int status;

	pthread_setname_np(pthread_self(), "control");
	/* Commands of the quick lane do what the main loop could also do itself. */
	status = jail_enter_thread(
		jobs->vm->jail, worker->lane == LANE_QUICK ? JAIL_THREAD_MAIN : JAIL_THREAD_WORKER,
		&err);
	pthread_mutex_lock(&jobs->lock);
	if (status < 0 && jobs->worker_status == 0) {
		jobs->worker_status = status;
		jobs->worker_err = err;
	}
	jobs->workers_ready++;
	pthread_cond_broadcast(&jobs->changed);
	pthread_mutex_unlock(&jobs->lock);
	return status;
}

static void *worker_main(void *opaque)
{
	struct worker *worker = opaque;
	struct control_jobs *jobs = worker->jobs;
	const uint64_t one = 1;
	struct control_job *job;

	if (worker_enter(worker) < 0)
		return NULL;
	while ((job = take_job(jobs, worker->lane))) {
		job_run(job);
		pthread_mutex_lock(&jobs->lock);
		job->state = JOB_ENDED;
		pthread_mutex_unlock(&jobs->lock);
		/* It only fails if the counter is full: then the loop is awake. */
		if (write(jobs->ended_fd, &one, sizeof(one)) < 0)
			continue;
	}
	return NULL;
}

int control_jobs_create(struct vm *vm, control_job_ended ended, struct control_jobs **out,
			struct error *err)
{
	struct control_jobs *jobs = calloc(1, sizeof(*jobs));

	if (!jobs)
		return error_set(err, -ENOMEM, "control socket: out of memory");
	jobs->vm = vm;
	jobs->ended = ended;
	pthread_mutex_init(&jobs->lock, NULL);
	pthread_cond_init(&jobs->changed, NULL);
	jobs->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (jobs->ended_fd >= 0)
		jobs->ended_source = event_loop_add(vm->main_loop, jobs->ended_fd, EPOLLIN,
						    jobs_ended, jobs);
	if (!jobs->ended_source) {
		control_jobs_destroy(jobs);
		return error_set(err, -ENOMEM, "control socket: no memory or no descriptor left");
	}
	*out = jobs;
	return 0;
}

int control_jobs_start(struct control_jobs *jobs, struct error *err)
{
	int status = 0;

	for (unsigned i = 0; i < WORKERS && status == 0; i++) {
		struct worker *worker = &jobs->workers[i];

		worker->jobs = jobs;
		worker->lane = worker_lanes[i];
		status = -pthread_create(&worker->thread, NULL, worker_main, worker);
		if (status == 0)
			jobs->worker_count++;
	}
	return status < 0 ? error_set_errno(err, status, "cannot start a control thread") : 0;
}

int control_jobs_wait_ready(struct control_jobs *jobs, struct error *err)
{
	int status;

	pthread_mutex_lock(&jobs->lock);
	while (jobs->workers_ready < jobs->worker_count)
		pthread_cond_wait(&jobs->changed, &jobs->lock);
	status = jobs->worker_status;
	if (status < 0)
		*err = jobs->worker_err;
	pthread_mutex_unlock(&jobs->lock);
	return status;
}

void control_jobs_destroy(struct control_jobs *jobs)
{
	pthread_mutex_lock(&jobs->lock);
	jobs->stopping = true;
	for (struct control_job *job = jobs->all; job; job = job->next)
		atomic_store(&job->limit.cut, true);
	pthread_cond_broadcast(&jobs->changed);
	pthread_mutex_unlock(&jobs->lock);
	for (unsigned i = 0; i < jobs->worker_count; i++)
		pthread_join(jobs->workers[i].thread, NULL);
	while (jobs->all)
		job_free(jobs->all);
	event_source_remove(jobs->ended_source);
	if (jobs->ended_fd >= 0)
		close(jobs->ended_fd);
	pthread_mutex_destroy(&jobs->lock);
	pthread_cond_destroy(&jobs->changed);
	free(jobs);
}
