// SPDX-License-Identifier: GPL-2.0-only
/* /sys/kernel/symbiotic/ and /sys/kernel/debug/symbiotic/calls. */
#include <linux/debugfs.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/sysfs.h>
#include "internal.h"

static struct kobject *sym_kobject;
static struct dentry *sym_debugfs;

#define SYM_ATTRIBUTE_MODE(_name, _mode)                                          \
	static struct kobj_attribute sym_attribute_##_name = __ATTR(_name, _mode, \
								    sym_show_##_name, NULL)
#define SYM_ATTRIBUTE(_name) SYM_ATTRIBUTE_MODE(_name, 0444)

static ssize_t sym_show_active(struct kobject *object, struct kobj_attribute *attribute, char *out)
{
	return sysfs_emit(out, "%d\n", symbiotic_active());
}
SYM_ATTRIBUTE(active);

static ssize_t sym_show_version(struct kobject *object, struct kobj_attribute *attribute, char *out)
{
	return sysfs_emit(out, "module %s abi %u.%u vmm %u.%u\n", SYM_MODULE_VERSION, SYM_ABI_MAJOR,
			  SYM_ABI_MINOR, sym_interface.version >> 16,
			  sym_interface.version & 0xffff);
}
SYM_ATTRIBUTE(version);

static ssize_t sym_show_features(struct kobject *object, struct kobj_attribute *attribute,
				 char *out)
{
	u32 granted = symbiotic_active() ? sym_interface.granted : 0;
	ssize_t length = 0;

	if (granted & SYM_FEATURE_SYMCALL)
		length += sysfs_emit_at(out, length, "symcall ");
	if (granted & SYM_FEATURE_SPY)
		length += sysfs_emit_at(out, length, "spy ");
	if (granted & SYM_FEATURE_SAFEPOINT)
		length += sysfs_emit_at(out, length, "safepoint ");
	if (granted & SYM_FEATURE_SWAP)
		length += sysfs_emit_at(out, length, "swap ");
	if (granted & SYM_FEATURE_ABANDON)
		length += sysfs_emit_at(out, length, "abandon ");
	if (!length)
		length = sysfs_emit(out, "none ");
	out[length - 1] = '\n';
	if (symbiotic_active() && sym_interface.calls_refused)
		length += sysfs_emit_at(out, length, "no symcall: %s\n",
					sym_interface.calls_refused);
	return length;
}
SYM_ATTRIBUTE(features);

/* One line per online CPU: whether calls can enter it, or why the VMM refused it. */
static ssize_t sym_show_cpus(struct kobject *object, struct kobj_attribute *attribute, char *out)
{
	unsigned int number;
	ssize_t length = 0;

	for_each_online_cpu(number) {
		const struct sym_cpu *cpu = per_cpu_ptr(&sym_cpus, number);

		length += sysfs_emit_at(out, length, "%u calls %d page %d error %d\n", number,
					READ_ONCE(cpu->calls_enabled), READ_ONCE(cpu->page_shared),
					READ_ONCE(cpu->error));
	}
	return length;
}
SYM_ATTRIBUTE(cpus);

/* The VMM's part of the VM page. Not for every user: the host's load, the VM's name and UUID. */
static ssize_t sym_show_host(struct kobject *object, struct kobj_attribute *attribute, char *out)
{
	struct sym_spy_vm_host host;

	if (!sym_spy_host_read(&host))
		return sysfs_emit(out, "none\n");
	return sysfs_emit(out,
			  "name %.*s\nuuid %pUb\nload %u.%02u\ncpus %u\n"
			  "memory_some %u.%02u\nmemory_full %u.%02u\npolicy %#llx\n",
			  (int)sizeof(host.name), host.name, host.uuid, host.host_load / 100,
			  host.host_load % 100, host.host_cpus, host.psi_some / 100,
			  host.psi_some % 100, host.psi_full / 100, host.psi_full % 100,
			  host.policy);
}
SYM_ATTRIBUTE_MODE(host, 0400);

static struct attribute *sym_attributes[] = {
	&sym_attribute_active.attr, &sym_attribute_version.attr, &sym_attribute_features.attr,
	&sym_attribute_cpus.attr,   &sym_attribute_host.attr,	 NULL,
};

static const struct attribute_group sym_attribute_group = { .attrs = sym_attributes };

static int sym_calls_show(struct seq_file *file, void *unused)
{
	sym_dispatch_show(file);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(sym_calls);

/* sym_sysfs_create - may sleep. It is not an error if debugfs is missing. */
int sym_sysfs_create(void)
{
	int error;

	sym_kobject = kobject_create_and_add("symbiotic", kernel_kobj);
	if (!sym_kobject)
		return -ENOMEM;
	error = sysfs_create_group(sym_kobject, &sym_attribute_group);
	if (error) {
		kobject_put(sym_kobject);
		return error;
	}
	sym_debugfs = debugfs_create_dir("symbiotic", NULL);
	debugfs_create_file("calls", 0400, sym_debugfs, NULL, &sym_calls_fops);
	return 0;
}

void sym_sysfs_remove(void)
{
	debugfs_remove(sym_debugfs);
	sysfs_remove_group(sym_kobject, &sym_attribute_group);
	kobject_put(sym_kobject);
}
