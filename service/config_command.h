/* `parfocal config check|show`.
 *
 * The whole of a process; argv[0] is "config". Returns the exit status (service/help.h): 0, 1 when
 * nothing can be written, 2 for a configuration that `parfocal serve` refuses.
 */
#ifndef PF_CONFIG_COMMAND_H
#define PF_CONFIG_COMMAND_H

int pf_config_main(int argc, char **argv);

#endif
