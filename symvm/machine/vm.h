/* SPDX-License-Identifier: BSD-2-Clause */
/* One virtual machine: what its parts share, and its life from creation to its end. */
#ifndef SYMVM_MACHINE_VM_H
#define SYMVM_MACHINE_VM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <symbiotic/abi.h>

#include "jail/jail.h"
#include "machine/boot.h"
#include "machine/bus.h"
#include "machine/device.h"
#include "machine/doorbell.h"
#include "machine/exit_observer.h"
#include "machine/irq.h"
#include "memory/memory.h"
#include "machine/vcpu.h"
#include "util/error.h"
#include "util/log.h"
#include "util/event_loop.h"
#include "util/watchdog.h"

#define VM_VCPUS_MAX 16u
#define VM_NAME_MAX  63

struct pci_bus;
struct sym_vm;
struct chip_power_on;
struct service;

/* What a triple fault of the guest is. */
enum vm_triple_fault {
	VM_TRIPLE_FAULT_ANNOUNCED, /* a reboot if the guest announced one, else a crash */
	VM_TRIPLE_FAULT_RESET,	   /* always a reboot */
	VM_TRIPLE_FAULT_CRASH,	   /* always a crash */
};

/* What happens after a panic of the guest's kernel. */
enum vm_on_panic {
	VM_ON_PANIC_REPORT, /* a report is written, and the VM ends */
	VM_ON_PANIC_DUMP,   /* a vmcore and a report are written, and the VM ends */
	VM_ON_PANIC_PAUSE,  /* a report is written; the VM stays, stopped, and answers questions */
	VM_ON_PANIC_EXIT,   /* the VM ends */
};

struct vm_config {
	char *name;
	char *kernel;
	char *initrd;
	char *command_line;
	unsigned cpus;
	struct memory_config memory;
	unsigned weight;	 /* among the VMs of a broker */
	bool symbiotic;		 /* offer the symbiotic interface */
	bool exit_on_reboot;	 /* `--on-reboot exit` */
	bool pause_on_disk_full; /* `--on-disk-full pause` */
	enum vm_triple_fault on_triple_fault;
	enum vm_on_panic on_panic;
	bool start_paused;
	bool hide_host; /* `--publish-host no`: load, CPUs and pressure of the host are not
			   published */
};

/* Why a VM ended; the exit status of `symvm run`. */
enum vm_end {
	VM_END_NONE = -1,
	VM_END_POWEROFF = 0, /* the guest powered off */
	VM_END_FAILURE = 1,  /* symvm or the host failed */
	VM_END_USAGE = 2,
	VM_END_PANIC = 3,   /* the guest's kernel panicked */
	VM_END_CRASH = 4,   /* triple fault that is not a reboot, or KVM cannot run the guest */
	VM_END_STOPPED = 5, /* `symvm stop --force`, SIGTERM, SIGINT */
	VM_END_REBOOT = 6,  /* the guest rebooted and --on-reboot=exit */
};

enum vm_state {
	VM_STATE_CREATED,
	VM_STATE_RUNNING,
	VM_STATE_PAUSED,
	VM_STATE_ENDED,
};

/* See vm_panic_set_handler() in vm_panic.h. */
typedef void (*vm_panic_handler)(struct vm *vm, void *opaque);

/* See vm_panic.h. */
struct vm_panic {
	_Atomic bool reported; /* by the pvpanic device */
	_Atomic bool told;     /* logged */
	unsigned looks;	       /* main loop's thread */
	int timer;
	struct event_source *source;
	vm_panic_handler handler; /* vm_panic_set_handler(); NULL: the VM just ends */
	void *opaque;
	_Atomic bool handled; /* the lifecycle thread was asked to call the handler; vCPUs stop */
	_Atomic bool answers; /* parked vCPUs run posted functions: guest code runs only for them */
	_Atomic bool kept;    /* the handler is done, and the VM stays (VM_ON_PANIC_PAUSE) */
	pthread_mutex_t lock; /* guards the rest */
	char last[SYM_PANIC_SIZE]; /* text of the last panic before a reset; "" without */
	char report[256];	   /* where the report is; "": none is written */
};

struct vm {
	struct vm_config config; /* owned */
	struct log log;
	int kvm_fd;
	int fd;
	struct guest_memory memory;
	struct irq_router irq;
	struct bus pio;
	struct bus mmio;
	struct event_loop *io_loop;   /* device back ends */
	struct event_loop *main_loop; /* control socket, signals; never waits for guests or disks */
	struct watchdog *watchdog;    /* armed by vm_end(); NULL: none. Not owned */
	struct pci_bus *pci;	      /* devices/pci.h: of the device that comes first */
	struct device *devices;	      /* in creation order */
	struct sym_vm *symbiotic;     /* NULL when the interface is off */
	struct jail *jail;	      /* NULL: off. Every thread enters it. Not owned */
	struct jail_needs jail_needs; /* devices add theirs while they are made */
	struct exit_observers exit_observers;
	struct doorbells doorbells;
	struct service *services; /* started services, see machine/service.h */
	struct boot_source boot;
	struct chip_power_on *chips; /* irqchip state for resets */
	struct vm_panic panic;
	struct device *power;	/* sleep, reset, power button */
	unsigned physical_bits; /* width of a guest-physical address, by the first vCPU's CPUID */
	unsigned vcpu_count;
	struct vcpu *vcpus[VM_VCPUS_MAX];
	pthread_t io_thread;
	bool io_started;
	pthread_t lifecycle_thread; /* machine/lifecycle.h */
	bool lifecycle_started;

	/* Guards state, end, parked, holds, lifecycle_*; vm->state_changed goes with it. */
	pthread_mutex_t state_lock;
	pthread_cond_t state_changed;
	enum vm_state state;
	unsigned parked;	      /* vCPUs that wait outside of the guest */
	unsigned holds;		      /* vm_hold(): the vCPUs stay parked until it is 0 */
	_Atomic int end;	      /* enum vm_end */
	_Atomic bool reset_requested; /* until the reset is done */
	unsigned lifecycle_tasks;
	uint64_t reset_ns;   /* CLOCK_MONOTONIC: when the last reset was done; 0: none was */
	uint64_t started_ns; /* CLOCK_MONOTONIC */

	pthread_mutex_t work_lock; /* vcpu_run_on() */
	pthread_cond_t work_done;
};

/*
 * Opens KVM, creates the VM with memory, irqchip, vCPUs and services, but without devices (see
 * device_class). Takes over @config's strings. Main thread. On failure nothing is left: -errno with
 * words.
 */
int vm_create(struct vm_config *config, struct log *log, struct vm **vm, struct error *err);

/* Stops everything that runs, and frees the VM. NULL is allowed. Main thread. */
void vm_destroy(struct vm *vm);

/* Loads the kernel, starts all threads and lets the vCPUs run. Main thread. -errno with words. */
int vm_start(struct vm *vm, struct error *err);

/* Seconds since vm_start(); 0 before. Any thread. */
double vm_uptime(const struct vm *vm);

/*
 * Stops all vCPUs outside the guest, or lets them run again. Not on vCPU threads, and not on a
 * loop's: both may wait for devices. -EALREADY if it is so already, -ESHUTDOWN if the VM has ended.
 * Pause: -ETIMEDOUT if a vCPU is busy with a device for 5 s (the VM then continues), -ECANCELED if
 * the VM was resumed meanwhile. On a paused VM neither guest code nor a posted function runs.
 */
int vm_pause(struct vm *vm);
int vm_resume(struct vm *vm);
/* Asks for a pause and does not wait until the vCPUs are parked. The same errors. Any thread. */
int vm_pause_begin(struct vm *vm);
/*
 * Keeps all vCPUs outside the guest until vm_unhold(), whatever clients do: a VM that they pause or
 * resume meanwhile continues as they want it afterwards, and a reset waits. Waits up to @ms until
 * they are parked. -EAGAIN: the VM is being reset; -ETIMEDOUT: a vCPU is busy with a device;
 * -ESHUTDOWN: the VM has ended. After an error nothing is held. Not on vCPU threads, and not on a
 * loop's.
 */
int vm_hold(struct vm *vm, unsigned ms);
void vm_unhold(struct vm *vm);
/* Lets the lifecycle thread resume the VM, if it is paused. Does not wait. Any thread. */
void vm_resume_later(struct vm *vm);

/* Whether the VM's end has begun. Any thread. */
static inline bool vm_has_ended(const struct vm *vm)
{
	return atomic_load(&vm->end) != VM_END_NONE;
}

/* 0 while the guest may run. -EBUSY (paused, or being reset) or -ESHUTDOWN, with words. Any
 * thread. */
int vm_check_runs(struct vm *vm, struct error *err);

/*
 * The VM has ended: the first reason given stays. Wakes the main loop, and arms the watchdog: the
 * process ends within 5 seconds, whatever still waits. Any thread that does not hold state_lock.
 */
void vm_end(struct vm *vm, enum vm_end reason);

/*
 * The guest asked for a reset (or triple-faulted): the lifecycle thread does it. Does not wait. Any
 * thread.
 */
void vm_request_reset(struct vm *vm);

/*
 * The guest's kernel reported that it panicked. The VM's end is then VM_END_PANIC, a moment later
 * if the text of the panic is still to come (vm_panic.h). Any thread.
 */
void vm_report_panic(struct vm *vm);

/* Whether the VM is kept after its guest's panic (VM_ON_PANIC_PAUSE). Any thread. */
static inline bool vm_panic_is_kept(const struct vm *vm)
{
	return atomic_load(&vm->panic.kept);
}

/*
 * Asks the guest to power off: presses the ACPI power button, resumes a paused VM, and presses
 * again until the VM has ended or @seconds are over, because a guest that still boots does not
 * notice the first presses. A VM that is kept after a panic ends at once. -EOPNOTSUPP without that
 * device. Main loop's thread; does not wait.
 */
int vm_power_off(struct vm *vm, unsigned seconds);

#endif
