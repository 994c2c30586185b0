/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by the files of symbiotic.ko; nothing here is for other modules. */
#ifndef SYMBIOTIC_INTERNAL_H
#define SYMBIOTIC_INTERNAL_H

#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/static_call.h>
#include "symbiotic.h"

struct psi_group;
struct static_key;

#define SYM_MODULE_VERSION "0.1"

/* The result of discovery. After the start only @active and @granted change. */
struct sym_interface {
	bool active; /* the VMM accepted version and features */
	u32 version; /* the VMM's ABI version */
	u32 offered; /* features */
	u32 granted;
	const char *calls_refused; /* why this guest refuses calls, or NULL */
	u32 msr_base;
	u16 port_base;
	u32 deadline_us;
};
extern struct sym_interface sym_interface; /* interface.c */

/* One CPU's registration. Only that CPU writes it, except for the allocations. */
struct sym_cpu {
	void *stack;		   /* of atomic calls; virtually mapped, so with a guard page */
	struct sym_spy_vcpu *page; /* its SymSpy page */
	bool page_shared;	   /* the VMM knows the page */
	bool calls_enabled;
	bool in_doorbell;
	int error; /* why the registration failed */
};
DECLARE_PER_CPU(struct sym_cpu, sym_cpus);

/* Registers as the entry stub pushes them. entry.S has the same layout. */
struct sym_entry_frame {
	u64 number;
	u64 args[SYM_CALL_ARGS];
	u64 flags; /* SYM_ENTRY_* */
	u64 sequence;
};

/* Statistics of one call on one CPU; never reset. */
struct sym_call_stats {
	u64 count;
	u64 errors;
	u64 total_ns;
	u64 min_ns;
	u64 max_ns;
};

/* ksyms.c: kernel symbols that are not exported. */
struct sym_ksyms {
	bool lookup; /* symbols can be found by name */
	bool nmi;    /* ct_nmi_enter() and ct_nmi_exit() were found */
	const long *total_swap_pages;
	const struct psi_group *psi_system;
	const struct static_key *psi_disabled;
	const bool *kexec_in_progress;
	unsigned long sched_text_start; /* functions of the scheduler, in which tasks wait */
	unsigned long sched_text_end;
};
extern struct sym_ksyms sym_ksyms;
void sym_ksyms_find(void);
void sym_type_nmi(void); /* a type only: it has no definition */
DECLARE_STATIC_CALL(sym_ct_nmi_enter, sym_type_nmi);
DECLARE_STATIC_CALL(sym_ct_nmi_exit, sym_type_nmi);

/* entry.S */
extern u16 sym_return_port;
void sym_entry(void);

/* cpu.c */
int sym_msr_write(u32 index, u64 value);
int sym_cpus_register(void);
void sym_cpus_unregister(void);
void sym_cpu_enable(void *unused);
void sym_cpus_disable(void *with_pages);

/* dispatch.c */
s64 sym_dispatch_atomic(const struct sym_entry_frame *frame);
s64 sym_dispatch_safepoint(u64 number, const u64 *args, void *message);
void sym_dispatch_show(struct seq_file *file);

/* call_table.c */
int sym_calls_register(void);
void sym_calls_unregister(void);

/* spy.c */
int sym_spy_start(void);
void sym_spy_stop(void);
void sym_spy_free(void);
int sym_spy_vm_register(void);
void sym_spy_vm_withdraw(void);
void sym_spy_boot_state(u32 state);
void sym_spy_panic(const char *message);
extern bool sym_panicked; /* main.c: only calls run code of this kernel from now on */
bool sym_spy_host_read(struct sym_spy_vm_host *out);

/* registration.c */
int sym_negotiate(u32 wanted);
int sym_register_again(void);

/* presence.c */
void sym_presence_start(void);
void sym_presence_stop(void);

/* sysfs.c */
int sym_sysfs_create(void);
void sym_sysfs_remove(void);

#endif
