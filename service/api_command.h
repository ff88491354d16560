/* parfocal status, bursts, finish, retry, restack, discard, scan, settings, hooks, watch: a running service is asked, through
 * its HTTP interface.
 *
 * Processes of their own. They ask through the socket in the state directory, and where there is none at
 * the first address of `http`, with `http_token`.
 */
#ifndef PF_API_COMMAND_H
#define PF_API_COMMAND_H

/* argv[0] is the command's name. Exit status: 0 done, 1 it could not be done, 2 usage. */
int pf_status_main(int argc, char **argv);
int pf_bursts_main(int argc, char **argv);
int pf_finish_main(int argc, char **argv);
int pf_retry_main(int argc, char **argv);
int pf_dismiss_main(int argc, char **argv);
int pf_restack_main(int argc, char **argv);
int pf_discard_main(int argc, char **argv);
int pf_scan_main(int argc, char **argv);
int pf_settings_main(int argc, char **argv);
int pf_hooks_main(int argc, char **argv);
int pf_watch_main(int argc, char **argv);

#endif
