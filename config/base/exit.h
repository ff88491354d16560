/* Exit statuses of every command. */
#ifndef PF_EXIT_H
#define PF_EXIT_H

enum pf_exit {
    PF_EXIT_OK = 0,
    PF_EXIT_FAILURE = 1, /* it could not be done; the reason is on standard error */
    PF_EXIT_USAGE = 2,   /* wrong options, operands or configuration: nothing was begun */
    PF_EXIT_DEVICE = 3,  /* the GPU has failed; the processor can do it (`--device cpu`) */
    PF_EXIT_LEFT = 4, /* stopped, but for a process of its own that the kernel does not let end */
};

#endif
