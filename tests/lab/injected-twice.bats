#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# tests/lib/injected-twice tells a guest that the emulator's second injection killed from a guest that
# died for another reason. The texts are from guests that did, shortened.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.."
}

judged() {
	run tests/lib/injected-twice
	[ "$status" -eq "$1" ]
}

@test "an interrupt in the first instruction of its own entry" {
	judged 0 <<'END'
[   81.8]  <TASK>
[   81.8]  asm_sysvec_apic_timer_interrupt+0x16/0x20
[   81.8] RIP: 0010:asm_sysvec_apic_timer_interrupt+0x0/0x20
[   81.8] Code: e9 65 07 00 00 0f 1f 44 00 00 0f 01 ca fc
[   81.8] RSP: 0000:ffffa0b3c00d3f58 EFLAGS: 00000086
END
}

@test "KPTI, 6.1: the registers on the entry's stack have interrupts off" {
	judged 0 <<'END'
[  187.6]  <ENTRY_TRAMPOLINE>
[  187.6]  error_entry+0xba/0x130
[  187.6] RIP: 0010:__handle_intr_saferet+0x0/0x30
[  187.6] RSP: 0000:fffffe000003df18 EFLAGS: 00000082 ORIG_RAX: 0000000000000010
[  187.6]  ? asm_exc_page_fault+0x9/0x30
[  187.6]  error_entry+0xba/0x130
[  187.6] RIP: 0010:asm_sysvec_apic_timer_interrupt+0x3/0x20
[  187.6] RSP: 0000:fffffe000003dfd8 EFLAGS: 00000083
[  187.6] RAX: 00000000084f5b6d RBX: 000000005f2b6a84 RCX: 0000000017536a2f
[  187.6]  ? asm_sysvec_apic_timer_interrupt+0xb/0x20
[  187.6] RIP: 0033:0x57a9c4
[  187.6] RSP: 002b:00007fffe9e74470 EFLAGS: 00000283
[  187.6]  </ENTRY_TRAMPOLINE>
END
}

@test "KPTI, 6.12: the interrupted place is the entry's own start" {
	judged 0 <<'END'
[   81.6]  <ENTRY_TRAMPOLINE>
[   81.6]  asm_exc_page_fault+0xd/0x30
[   81.7]  ? srso_safe_ret+0x20/0x20
[   81.7]  ? asm_sysvec_apic_timer_interrupt+0xf/0x20
[   81.7]  ? asm_sysvec_spurious_apic_interrupt+0x20/0x20
[   81.7]  </ENTRY_TRAMPOLINE>
END
}

@test "a warning in an interrupt's handler, a page fault in an entry, a silent end: none of it" {
	judged 1 <<'END'
[   20.1] WARNING: CPU: 0 PID: 7 at kernel/time/hrtimer.c:1 hrtimer_interrupt+0x10/0x200
[   20.1] RIP: 0010:hrtimer_interrupt+0x10/0x200
[   20.1] RSP: 0000:ffffa0b3c0003f58 EFLAGS: 00010086
[   20.1] Call Trace:
[   20.1]  <IRQ>
[   20.1]  __sysvec_apic_timer_interrupt+0x5c/0x100
[   20.1]  </IRQ>
[   20.1]  <TASK>
[   20.1]  asm_sysvec_apic_timer_interrupt+0x16/0x20
[   20.1] RIP: 0010:copy_page+0x7/0x10
[   20.1] RSP: 0000:ffffa0b3c00d3e58 EFLAGS: 00000246
END
	judged 1 <<'END'
[   20.1]  <ENTRY_TRAMPOLINE>
[   20.1]  error_entry+0xba/0x130
[   20.1] RIP: 0010:error_entry+0x9/0x130
[   20.1] RSP: 0000:fffffe000003df18 EFLAGS: 00000082 ORIG_RAX: 0000000000000010
[   20.1]  ? asm_sysvec_apic_timer_interrupt+0xb/0x20
[   20.1] RIP: 0033:0x57a9c4
[   20.1] RSP: 002b:00007fffe9e74470 EFLAGS: 00000283
[   20.1]  </ENTRY_TRAMPOLINE>
END
	judged 1 <<'END'
[   20.1] guest: WRONG checksum
END
}
