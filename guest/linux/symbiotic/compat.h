/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What has another name in older kernels. Kbuild.features looks into the kernel's headers, and
 * defines SYM_HAS_*. symswap.ko uses this, too.
 */
#ifndef SYMBIOTIC_COMPAT_H
#define SYMBIOTIC_COMPAT_H

#ifdef SYM_HAS_MSR_Q
#define sym_rdmsr      rdmsrq
#define sym_rdmsr_safe rdmsrq_safe
#define sym_wrmsr_safe wrmsrq_safe
#else
#define sym_rdmsr      rdmsrl
#define sym_rdmsr_safe rdmsrl_safe
#define sym_wrmsr_safe wrmsrl_safe
#endif

#ifdef SYM_HAS_TIMER_DELETE
#define sym_timer_delete_sync timer_delete_sync
#else
#define sym_timer_delete_sync del_timer_sync
#endif

/* For short work on the CPU that queues it, and for work that may run on any CPU. */
#ifdef SYM_HAS_PERCPU_WQ
#define sym_percpu_wq  system_percpu_wq
#define sym_unbound_wq system_dfl_wq
#else
#define sym_percpu_wq  system_wq
#define sym_unbound_wq system_unbound_wq
#endif

#ifdef SYM_HAS_KERNFS_RCU /* under RCU */
#define sym_kernfs_parent(node) rcu_dereference_raw((node)->__parent)
#define sym_kernfs_name(node)	rcu_dereference_raw((node)->name)
#else
#define sym_kernfs_parent(node) ((node)->parent)
#define sym_kernfs_name(node)	((node)->name)
#endif

#endif
