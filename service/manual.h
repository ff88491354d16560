/* `parfocal manual page|conf|bash|zsh`: the manual pages and the shells' completion, made from the
 * table of settings and the list of commands, so that they say what the program does.
 *
 * Any process, main thread. manual.c writes the pages, completion.c what shells read.
 */
#ifndef PF_MANUAL_H
#define PF_MANUAL_H

#include <stdio.h>

int pf_manual_main(int argc, char **argv);

void pf_completion_bash(FILE *to);
void pf_completion_zsh(FILE *to);

#endif
