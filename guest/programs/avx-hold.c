// SPDX-License-Identifier: BSD-2-Clause
/*
 * avx-hold SECONDS: keeps values in the AVX registers of a process, while the VMM calls into the
 * guest. Prints "avx ok rounds N", or "avx WRONG" and status 1 if a register has another value.
 * Status 2: the CPU has no AVX.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SPINS 2000000ul /* a round: many calls fall into it */

/* Loads two registers, waits, and stores them. */
static void hold(const uint8_t in[64], uint8_t out[64])
{
	unsigned long left = SPINS;

	__asm__ volatile("vmovdqu (%1), %%ymm0\n"
			 "vmovdqu 32(%1), %%ymm15\n"
			 "1: sub $1, %0\n"
			 "jnz 1b\n"
			 "vmovdqu %%ymm0, (%2)\n"
			 "vmovdqu %%ymm15, 32(%2)\n"
			 "vzeroupper"
			 : "+r"(left)
			 : "r"(in), "r"(out)
			 : "xmm0", "xmm15", "memory");
}

int main(int argc, char **argv)
{
	const time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 1);
	unsigned long rounds = 0;
	uint8_t in[64], out[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!__builtin_cpu_supports("avx")) {
		puts("avx none");
		return 2;
	}
	puts("avx begins");
	do {
		for (size_t i = 0; i < sizeof(in); i++)
			in[i] = (uint8_t)(rounds * 3 + i * 7 + 1);
		memset(out, 0, sizeof(out));
		hold(in, out);
		if (memcmp(in, out, sizeof(in))) {
			puts("avx WRONG");
			return 1;
		}
		rounds++;
	} while (time(NULL) < end);
	printf("avx ok rounds %lu\n", rounds);
	return 0;
}
