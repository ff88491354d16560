/* Helpers of the generator: memory that is there or ends the program, rows shared out to threads.
 *
 * Generator and its test only, any thread. Results never depend on the number of threads.
 */
#ifndef PF_GEN_ROWS_H
#define PF_GEN_ROWS_H

#include <stddef.h>

/* Zeroed; the caller frees. Ends the program with a message when there is none. */
void *pf_gen_alloc(size_t count, size_t size_bytes);

/* Calls work(context, begin, end) for pieces that make up [0, count), on one thread per core. */
void pf_gen_rows(int count, void (*work)(void *context, int begin, int end), void *context);

/* Threads of pf_gen_rows, 0: one per core. Call before any other thread exists. */
void pf_gen_set_threads(int threads);

#endif
