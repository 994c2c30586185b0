/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SymSpy pages: guest RAM that both sides map. The guest may write anything anywhere in them at any
 * time. So the VMM never reads back what it wrote, and copies the guest's part before it uses it.
 */
#include <string.h>

#include "internal.h"

#define READ_RETRIES 64

static int find_page(struct sym_vm *vm, uint64_t value, void **page)
{
	*page = NULL;
	if (!value)
		return 0;
	if (!(value & SYM_SPY_ENABLE) || (value & (SYM_PAGE_SIZE - 1) & ~SYM_SPY_ENABLE))
		return -EINVAL;
	if (!(atomic_load(&vm->granted) & SYM_FEATURE_SPY))
		return -EPERM;
	*page = vm->ops->translate(vm->opaque, value & ~(uint64_t)SYM_SPY_ENABLE, SYM_PAGE_SIZE);
	return *page ? 0 : -EFAULT;
}

/* With vm->lock held. The VMM keeps the seqlock's count itself, whatever the page says. */
static void write_vm_host(struct sym_vm *vm)
{
	struct sym_spy_vm_host *host = &vm->spy->host;

	__atomic_store_n(&host->seq, ++vm->spy_seq, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	host->version = SYM_ABI_VERSION;
	memcpy(host->name, vm->name, sizeof(host->name));
	memcpy(host->uuid, vm->uuid, sizeof(host->uuid));
	host->host_load = vm->published.host_load;
	host->host_cpus = vm->published.host_cpus;
	host->psi_some = vm->published.psi_some;
	host->psi_full = vm->published.psi_full;
	host->policy = vm->published.policy;
	memcpy(host->swap_windows, vm->published.swap_windows, sizeof(host->swap_windows));
	__atomic_store_n(&host->seq, ++vm->spy_seq, __ATOMIC_RELEASE);
	__atomic_store_n(&host->magic, SYM_SPY_VM_MAGIC, __ATOMIC_RELEASE);
}

/* The guest gives or moves the VM's page (value with SYM_SPY_ENABLE), or takes it away (0). */
int sym_spy_set_vm(struct sym_vm *vm, uint64_t value)
{
	void *page;
	int error = find_page(vm, value, &page);

	if (error)
		return error;
	pthread_mutex_lock(&vm->lock);
	vm->spy = page;
	vm->spy_msr = value;
	if (page)
		write_vm_host(vm);
	pthread_mutex_unlock(&vm->lock);
	return 0;
}

/* SplitMix64 on a secret. A cookie only has to be unknown to the guest's user mode. */
static uint64_t next_cookie(struct sym_vcpu *vcpu)
{
	uint64_t z = (vcpu->random += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	z ^= z >> 31;
	return z ? z : 1;
}

int sym_spy_set_vcpu(struct sym_vcpu *vcpu, uint64_t value)
{
	struct sym_spy_vcpu *spy;
	void *page;
	int error = find_page(vcpu->vm, value, &page);

	if (error)
		return error;
	spy = page;
	vcpu->cookie = next_cookie(vcpu);
	if (spy) {
		memset(&spy->host, 0, sizeof(spy->host));
		spy->host.vcpu = vcpu->id;
		spy->host.preempted = 1;
		spy->host.cookie = vcpu->cookie;
		__atomic_store_n(&spy->host.magic, SYM_SPY_VCPU_MAGIC, __ATOMIC_RELEASE);
	}
	pthread_mutex_lock(&vcpu->spy_lock);
	vcpu->spy = spy;
	vcpu->spy_msr = value;
	pthread_mutex_unlock(&vcpu->spy_lock);
	return 0;
}

void sym_vm_publish(struct sym_vm *vm, const struct sym_publication *what)
{
	pthread_mutex_lock(&vm->lock);
	vm->published = *what;
	if (vm->spy)
		write_vm_host(vm);
	pthread_mutex_unlock(&vm->lock);
}

/*
 * Copies `size` bytes of a part whose seqlock word is at `seq_offset`. The caller holds the lock
 * that keeps the page. The copy is the guest's claim: a guest that breaks the protocol can only
 * cause a torn copy. -EAGAIN: the guest was writing at each of READ_RETRIES tries.
 */
static int read_seqlocked(const void *part, size_t seq_offset, void *out, size_t size)
{
	const uint32_t *seq = (const uint32_t *)((const uint8_t *)part + seq_offset);

	for (int i = 0; i < READ_RETRIES; i++) {
		uint32_t before = __atomic_load_n(seq, __ATOMIC_ACQUIRE);

		if (before & 1) {
			__builtin_ia32_pause();
			continue;
		}
		memcpy(out, part, size);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(seq, __ATOMIC_RELAXED) == before)
			return 0;
	}
	return -EAGAIN;
}

int sym_vm_spy_read(struct sym_vm *vm, struct sym_spy_vm_guest *out)
{
	int error = -ENODATA;

	pthread_mutex_lock(&vm->lock);
	if (vm->spy)
		error = read_seqlocked(&vm->spy->guest, offsetof(struct sym_spy_vm_guest, seq), out,
				       sizeof(*out));
	pthread_mutex_unlock(&vm->lock);
	if (!error)
		out->os[sizeof(out->os) - 1] = 0;
	return error;
}

int sym_vm_spy_read_panic(struct sym_vm *vm, char out[SYM_PANIC_SIZE])
{
	int error = -ENODATA;

	pthread_mutex_lock(&vm->lock);
	if (vm->spy) {
		memcpy(out, vm->spy->panic, SYM_PANIC_SIZE);
		out[SYM_PANIC_SIZE - 1] = 0;
		error = 0;
	}
	pthread_mutex_unlock(&vm->lock);
	return error;
}

int sym_vcpu_spy_read(struct sym_vcpu *vcpu, struct sym_spy_vcpu_guest *out)
{
	int error = -ENODATA;

	pthread_mutex_lock(&vcpu->spy_lock);
	if (vcpu->spy)
		error = read_seqlocked(&vcpu->spy->guest, offsetof(struct sym_spy_vcpu_guest, seq),
				       out, sizeof(*out));
	pthread_mutex_unlock(&vcpu->spy_lock);
	if (!error)
		out->comm[sizeof(out->comm) - 1] = 0;
	return error;
}

/* The functions below run on the vCPU's thread. No other thread changes vcpu->spy. */

void sym_spy_set_preempted(struct sym_vcpu *vcpu, bool preempted)
{
	if (vcpu->spy)
		__atomic_store_n(&vcpu->spy->host.preempted, preempted, __ATOMIC_RELAXED);
}

void sym_vcpu_publish_steal(struct sym_vcpu *vcpu, uint64_t steal_ns)
{
	if (vcpu->spy)
		__atomic_store_n(&vcpu->spy->host.steal_ns, steal_ns, __ATOMIC_RELAXED);
}

/* Writes the interrupted context to the page, for the handler. */
void sym_spy_write_context(struct sym_vcpu *vcpu)
{
	const struct kvm_regs *regs = &vcpu->saved.regs;
	const struct kvm_sregs *sregs = &vcpu->run->s.regs.sregs;

	if (!vcpu->spy)
		return;
	vcpu->spy->host.calls = atomic_load_explicit(&vcpu->stats.calls, memory_order_relaxed) + 1;
	vcpu->spy->host.context = (struct sym_context){
		.rip = regs->rip,
		.rsp = regs->rsp,
		.rbp = regs->rbp,
		.rflags = regs->rflags,
		.cs = sregs->cs.selector,
		.gs_base = sregs->gs.base,
		.cr3 = sregs->cr3,
		.flags = vcpu->saved.halted ? SYM_CONTEXT_HALTED : 0,
	};
}

/* Checks the length that a call returned, then copies its message once. Errors: symcall.h. */
int sym_spy_message(struct sym_vcpu *vcpu, int64_t length, void *buffer, size_t size,
		    size_t *copied)
{
	int error = 0;

	*copied = 0;
	if (length <= 0)
		return 0; /* the handler's own errno, or an empty message */
	if (!vcpu->spy)
		error = -ENODATA;
	else if (length > (int64_t)SYM_MESSAGE_SIZE)
		error = -EPROTO;
	else if ((uint64_t)length > size)
		error = -EMSGSIZE;
	if (error) {
		sym_count(vcpu, messages_refused);
		return error;
	}
	memcpy(buffer, vcpu->spy->message, (size_t)length);
	*copied = (size_t)length;
	return 0;
}
