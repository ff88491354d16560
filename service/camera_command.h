/* `parfocal camera` and `parfocal bracket`: what a person asks of a camera.
 *
 * A process of its own, main thread. Where a service runs on the same state directory, it is asked
 * through its control socket, since it owns the camera; else the camera's process is started for
 * this once, and what it fetches waits in the spool for the next service.
 */
#ifndef PF_CAMERA_COMMAND_H
#define PF_CAMERA_COMMAND_H

int pf_camera_main(int argc, char **argv);
int pf_bracket_main(int argc, char **argv);

#endif
