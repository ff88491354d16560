/* `parfocal stack FILES... -o OUT`: the engine without the service, once.
 *
 * Exit status: 0 a stack was written (frames that were set aside are named on standard error), 1 no
 * stack could be made, 2 wrong options or operands, nothing was begun.
 */
#ifndef PF_STACK_COMMAND_H
#define PF_STACK_COMMAND_H

/* argv[0] is the command's name. */
int pf_stack_main(int argc, char **argv);

#endif
