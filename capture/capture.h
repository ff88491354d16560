/* `parfocal capture folder:DIR [options]`: the capture process.
 *
 * Called by main() with argv[0] the command's name. Returns the exit code: 0 when its input ended,
 * 1 when it could not go on, 2 for a wrong command line.
 */
#ifndef PF_CAPTURE_H
#define PF_CAPTURE_H

int pf_capture_main(int argc, char **argv);

#endif
