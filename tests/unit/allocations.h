/* Programs without memory: each time another one of their allocations fails, alone or with all that
 * follow.
 *
 * For tests/unit/test_allocations_*.c (without_memory.h) and for the program tests/parfocal-without-memory. The linker's
 * --wrap turns their own calls of malloc() and its kin to the functions of allocations.c (Makefile);
 * jansson and SQLite are given them as theirs. Other libraries have all the memory they want: what they
 * do without is theirs. Under the address sanitizer it is the same, whose malloc() is behind.
 *
 * A whole program is told by its environment, as its processes inherit it:
 *     FAIL_ALLOCATION=ROLE:N[+]   in processes whose first argument is ROLE the N-th fails (and all after)
 *     ALLOCATIONS_LOG=PREFIX      each process counts its allocations in PREFIX.ROLE.PID, a long
 */
#ifndef PF_TEST_ALLOCATIONS_H
#define PF_TEST_ALLOCATIONS_H

#include <stdbool.h>

void take_libraries(void); /* before they are used; once is enough */
long allocations_made(void);
long allocations_failed(void);
void fail_allocation(long n, bool all_after); /* the n-th from now; 0: none does */

/* In between none fails, nor is counted down. */
long allocations_hold(void);
void allocations_go_on(long left);

#endif
