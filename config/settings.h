/* Every setting of parfocal: the one table.
 *
 * The configuration file, the command line, the manual and the API's view are all made from
 * PF_SETTINGS. Settings are read by one thread at start and constant afterwards; strings and lists
 * are owned by struct pf_settings (pf_settings_free).
 *
 * A row: TYPE(key, default, minimum, maximum, unit, section, help[, "names that it had before"])
 *   TEXT   char *key              default text; minimum/maximum unused; `unit` is the placeholder
 *                                 in help texts
 *   LIST   struct pf_list key     each occurrence adds an element, an empty value clears the list;
 *                                 `unit` as in TEXT
 *   CHOICE int key                default one of the words; `unit` lists them "a|b|c"; the value is
 *                                 the word's index, and its enum stands beside the table
 *   INT    int64_t key
 *   REAL   double key
 *   BOOL   bool key
 * The option of a key is --key with '_' written '-'. Who renames a key leaves its old name behind the
 * help: whoever still uses it is told the new one.
 *
 * A TEXT may be empty where its default is; neither it nor an element of a LIST has more than
 * PF_SETTING_TEXT_MAX bytes.
 *
 * A section is of use to whole commands: `engine` goes to the worker and to `parfocal stack`,
 * `output` as well, `maps` (which are asked for otherwise there), `service` and `hooks` not. service/main.c
 * says which sections, and which keys beside them, a command's help explains.
 */
#ifndef PF_SETTINGS_H
#define PF_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "config/base/error.h"

enum pf_align {
    PF_ALIGN_AUTO,
    PF_ALIGN_ECC,
    PF_ALIGN_ORB,
    PF_ALIGN_AKAZE,
    PF_ALIGN_SIFT,
    PF_ALIGN_HYBRID,
    PF_ALIGN_FLOW,
    PF_ALIGN_BSPLINE,
    PF_ALIGN_SYN,
    PF_ALIGN_NONE
};
enum pf_motion { PF_MOTION_SHIFT, PF_MOTION_SIMILARITY, PF_MOTION_AFFINE, PF_MOTION_HOMOGRAPHY };
enum pf_fuse { PF_FUSE_PYRAMID, PF_FUSE_SOFT_DEPTH, PF_FUSE_AVERAGE };
enum pf_focus_order { PF_FOCUS_ORDER_ANY, PF_FOCUS_ORDER_NEAR_TO_FAR, PF_FOCUS_ORDER_FAR_TO_NEAR };
enum pf_resample { PF_RESAMPLE_LANCZOS, PF_RESAMPLE_BICUBIC };
enum pf_device_kind { PF_DEVICE_AUTO, PF_DEVICE_CPU, PF_DEVICE_CUDA };
enum pf_format { PF_FORMAT_TIFF, PF_FORMAT_PNG, PF_FORMAT_JPEG };
enum pf_pair { PF_PAIR_JPEG, PF_PAIR_RAW };
enum pf_card_setting { PF_CARD_SETTING_NEW, PF_CARD_SETTING_ALL };
enum pf_capture_target {
    PF_CAPTURE_TARGET_CARD,
    PF_CAPTURE_TARGET_MEMORY,
    PF_CAPTURE_TARGET_LEAVE
};
enum pf_poll { PF_POLL_AUTO, PF_POLL_ALWAYS, PF_POLL_NEVER };

#define PF_SETTING_TEXT_MAX 16000

/* clang-format off */
#define PF_SETTINGS(TEXT, LIST, CHOICE, INT, REAL, BOOL) \
    LIST(source, "", 0, 0, "folder:DIR|camera|camera:PORT|camera:SERIAL", "capture", \
         "where frames come from; may be given several times, each adds a source") \
    CHOICE(poll, "auto", 0, 0, "auto|always|never", "capture", \
           "poll the folders; auto: where inotify cannot see (network mounts, FUSE)") \
    REAL(poll_interval, 2, 0.05, 3600, "s", "capture", \
         "time between two looks when polling") \
    REAL(rescan_interval, 60, 0.1, 86400, "s", "capture", \
         "time between two full scans beside inotify") \
    REAL(settle, 0.5, 0, 60, "s", "capture", \
         "a frame is whole when its size and time have rested this long") \
    REAL(incomplete_after, 60, 1, 86400, "s", "capture", \
         "a file whose end is missing this long is named as truncated") \
    REAL(folder_timeout, 60, 1, 86400, "s", "capture", \
         "a folder's process that has said nothing this long is a trouble: its mount may hang") \
    BOOL(recursive, true, 0, 0, "", "capture", \
         "watch subfolders too") \
    TEXT(spool, "spool", 0, 0, "DIR", "capture", \
         "directory for what cameras have shot, one folder per camera; nothing is ever removed there") \
    CHOICE(card, "new", 0, 0, "new|all", "capture", \
           "of a camera seen for the first time: take what is shot from now on, or all pictures that are " \
           "on its card as well; what is newer than all that came from it is taken in any case") \
    BOOL(delete_from_card, false, 0, 0, "", "capture", \
         "delete a picture from the camera's card after it is recorded here") \
    CHOICE(capture_target, "card", 0, 0, "card|memory|leave", "capture", \
           "where cameras that ask for it put what we trigger: on the card, in their memory alone; or " \
           "leave it as it is") \
    LIST(capture_target_of, "", 0, 0, "MAKER:card|memory|leave", "capture", \
         "the same for the cameras of one maker, by how the maker's name begins (Nikon:memory); may be " \
         "given several times") \
    REAL(camera_timeout, 30, 1, 3600, "s", "capture", \
         "a camera's process that has said nothing this long is ended and started again") \
    TEXT(gap, "auto", 0, 0, "auto|in-camera|flash|rail|SECONDS", "bursts", \
         "pause that ends a burst; in-camera begins with 2 s, auto and flash with 8 s, rail with 20 s, " \
         "and then follow the pace of the burst; a number of seconds stays as it is") \
    REAL(hold, 1.5, 0, 60, "s", "bursts", \
         "wait this long for earlier frames before a burst is split") \
    CHOICE(pair, "jpeg", 0, 0, "jpeg|raw", "bursts", \
           "of a shot's RAW and JPEG this one is stacked, and the other is its companion; the other waits " \
           "for it, `hold` at least, and is stacked when it is alone, and then for all of its burst") \
    INT(min_frames, 3, 2, 1000, "frames", "bursts", \
        "fewer frames are not a stack") \
    INT(expected_frames, 0, 0, 100000, "frames", "bursts", \
        "a burst completes at this count; 0: unknown") \
    CHOICE(align, "auto", 0, 0, "auto|ecc|orb|akaze|sift|hybrid|flow|bspline|syn|none", "engine", \
           "how frames are aligned: ecc, enhanced correlation; orb, akaze, sift, by features, for large " \
           "motions; hybrid, features that ecc refines; auto, ecc, and hybrid where it fails; flow, " \
           "bspline, for things that deform, fast (optical flow) or accurately (elastix); syn, for things " \
           "that deform much, on a GPU (diffeomorphic; flow takes its place elsewhere); none, a rig that " \
           "does not move") \
    REAL(align_timeout, 60, 0.1, 86400, "s", "engine", \
         "align = bspline sets a frame aside that takes longer") \
    BOOL(equalise, false, 0, 0, "", "engine", \
         "even out local contrast before features are sought: for dim or uneven light") \
    CHOICE(motion, "similarity", 0, 0, "shift|similarity|affine|homography", "engine", \
           "motion that alignment may explain") \
    REAL(min_correlation, 0.55, 0, 1, "", "engine", \
         "a frame whose correlation after alignment is lower is set aside") \
    BOOL(judge, true, 0, 0, "", "engine", \
         "set aside frames that are sharp nowhere, blurred by motion, or exposed unlike the others") \
    BOOL(coverage, true, 0, 0, "", "engine", \
         "say which focal planes were skipped, and which parts no frame has sharp") \
    CHOICE(fuse, "pyramid", 0, 0, "pyramid|soft-depth|average", "engine", \
           "how frames are fused: by a soft Laplacian pyramid; pixel by pixel by sharpness (even surfaces " \
           "beside strong edges may speckle); or to their mean, which has no maps") \
    REAL(clip, 3, 0, 100, "sigmas", "engine", \
         "fuse = average leaves out what lies further from the mean so far; 0: nothing") \
    CHOICE(focus_order, "near-to-far", 0, 0, "any|near-to-far|far-to-near", "engine", \
           "how focus goes through a bracket: where something in front and something behind it compete, the " \
           "pyramid gives the front a little more; any: neither") \
    CHOICE(resample, "lanczos", 0, 0, "lanczos|bicubic", "engine", \
           "how the one resampling of each frame weighs the pixels: lanczos, 6 x 6 of them, keeps the finest " \
           "detail; bicubic, 4 x 4, rings less beside hard edges") \
    CHOICE(device, "auto", 0, 0, "auto|cpu|cuda", "engine", \
           "what computes: auto, an NVIDIA GPU where one works, else the processor; cuda, a GPU or nothing") \
    INT(threads, 0, 0, 256, "threads", "engine", \
        "threads of the engine; 0: one per core") \
    INT(memory, 0, 0, 16777216, "MiB", "engine", \
        "what frames and stacks may take of memory; what a burst needs beyond it lies in `scratch`; 0: " \
        "three quarters of what the machine has, and never what it has not left") \
    TEXT(scratch, "/var/tmp", 0, 0, "DIR", "engine", \
         "directory on a disk for what does not fit into memory; its files have no names and leave nothing") \
    INT(max_megapixels, 400, 1, 10000, "MP", "engine", \
        "a picture with more pixels is refused before it is decoded") \
    CHOICE(format, "tiff", 0, 0, "tiff|png|jpeg", "output", \
           "file format of the stack; TIFF and PNG have 16 bits") \
    INT(jpeg_quality, 95, 1, 100, "", "output", \
        "quality of a JPEG stack") \
    BOOL(depth_map, true, 0, 0, "", "maps", \
         "write depth.png beside the stack") \
    BOOL(confidence_map, false, 0, 0, "", "maps", \
         "write confidence.png beside the stack: white where one frame alone is sharp") \
    BOOL(frame_map, false, 0, 0, "", "maps", \
         "write frames.png beside the stack: in each pixel the number of the frame that won it") \
    TEXT(outbox, "outbox", 0, 0, "DIR", "service", \
         "directory for the results, one folder per burst") \
    TEXT(state, "state", 0, 0, "DIR", "service", \
         "directory of the journal; on a local disk") \
    INT(open_stacks, 2, 1, 64, "stacks", "service", \
        "bursts that are stacked at the same time; more wait") \
    INT(worker_memory, 0, 0, 1048576, "MiB", "service", \
        "address space limit of a worker that uses no GPU; 0: none") \
    INT(thumbnails, 256, 0, 1048576, "MiB", "service", \
        "space for thumbnails of the frames in the state directory, the oldest go first; 0: none are made") \
    INT(retries, 2, 0, 100, "", "service", \
        "times a frame may take the worker down before it is set aside") \
    REAL(worker_timeout, 120, 1, 86400, "s", "service", \
         "a worker that has said nothing this long, plus a second per megapixel in hand, is restarted") \
    BOOL(sandbox, true, 0, 0, "", "service", \
         "the children that read pictures and talk to cameras give up what they do not need: system calls, " \
         "sockets, writing elsewhere, memory and time beyond a frame's (not of a worker that uses a GPU); no: for debugging") \
    LIST(on_burst, "", 0, 0, "COMMAND|URL", "hooks", \
         "when a stack is out: a program with its arguments, which gets the event as JSON on its standard " \
         "input, or an http:// or https:// address that it is posted to; may be given several times") \
    LIST(on_failure, "", 0, 0, "COMMAND|URL", "hooks", \
         "the same when a burst has failed, and when the service is degraded: a source is lost, the outbox " \
         "cannot be written, a disk is nearly full, the worker ends again and again; and when that is well again") \
    LIST(on_stop, "", 0, 0, "COMMAND|URL", "hooks", \
         "the same when the service stops in order") \
    BOOL(hook_shell, false, 0, 0, "", "hooks", \
         "programs of hooks are command lines of /bin/sh; otherwise they are split into words, and nothing " \
         "in them is expanded") \
    REAL(hook_timeout, 30, 0.1, 86400, "s", "hooks", \
         "a hook that takes longer has failed; a program is ended with all its processes") \
    INT(hook_retries, 10, 0, 1000, "", "hooks", \
        "times that a hook that failed is tried again before it is given up") \
    REAL(hook_backoff, 5, 0.05, 3600, "s", "hooks", \
         "pause before the first of these tries; it doubles up to an hour") \
    REAL(trouble_after, 30, 0, 86400, "s", "hooks", \
         "what degrades the service is told to on_failure when it has lasted so long, or has come back five " \
         "times, and its end when it has been well so long") \
    REAL(trouble_pause, 3600, 1, 604800, "s", "hooks", \
         "the same trouble is told again after so long at the earliest, however often it comes and goes") \
    INT(hook_parallel, 2, 1, 64, "hooks", "hooks", \
        "hooks that run at the same time; one that hangs leaves a place for each of the others as far as there are so many") \
    TEXT(hook_secret_file, "", 0, 0, "FILE", "hooks", \
         "file with the secret that signs what is posted (webhook-signature, see service/PROTOCOL.md); " \
         "empty: it is not signed") \
    TEXT(hook_ca_file, "", 0, 0, "FILE", "hooks", \
         "certificates (PEM) that https addresses of hooks may be signed with; empty: those of the system") \
    TEXT(http, "127.0.0.1:8420", 0, 0, "ADDRESS:PORT|unix:PATH|off", "http", \
         "where the page and the HTTP interface are; several with commas between; an address that others " \
         "can reach needs http_token") \
    TEXT(http_token, "", 0, 0, "TOKEN|/FILE", "http", \
         "secret for full access by http, or a file that holds it; empty: none is needed on this machine's " \
         "own addresses") \
    TEXT(http_read_token, "", 0, 0, "TOKEN|/FILE", "http", \
         "another one, that may only look") \
    TEXT(http_host, "", 0, 0, "NAMES", "http", \
         "names by which browsers may call this machine, beside localhost and its addresses") \
    INT(views, 256, 1, 1048576, "MiB", "http", \
        "space for previews and tiles of results in the state directory, the oldest go first") \
    TEXT(mqtt, "", 0, 0, "HOST[:PORT]", "mqtt", \
         "broker that is told how the service is (service/PROTOCOL.md has the topics); empty: none") \
    TEXT(mqtt_user, "", 0, 0, "NAME", "mqtt", \
         "name to log in with there; empty: none") \
    TEXT(mqtt_password_file, "", 0, 0, "FILE", "mqtt", \
         "file with the password to it") \
    BOOL(mqtt_tls, false, 0, 0, "", "mqtt", \
         "connect with TLS (port 8883 unless another is given) and check the broker's certificate") \
    TEXT(mqtt_ca_file, "", 0, 0, "FILE", "mqtt", \
         "certificates (PEM) that it may be signed with; empty: those of the system") \
    TEXT(mqtt_prefix, "parfocal", 0, 0, "TOPIC", "mqtt", \
         "what the topics begin with; the name of the machine follows") \
    TEXT(mqtt_name, "", 0, 0, "NAME", "mqtt", \
         "name of the machine in topics; empty: its host name") \
    TEXT(mqtt_discovery, "homeassistant", 0, 0, "TOPIC|off", "mqtt", \
         "where Home Assistant looks for new devices") \
    CHOICE(log_format, "auto", 0, 0, "auto|text|json", "service", \
           "how it is logged: auto, to systemd's journal with fields where standard error is the journal, " \
           "else lines of text; text, always; json, one object a line") \
    CHOICE(log_level, "info", 0, 0, "error|warning|info|debug", "service", \
           "what is logged")
/* clang-format on */

struct pf_list {
    char **items; /* NUL-terminated strings */
    size_t count;
};

#define PF_MEMBER_TEXT(key, ...)   char *key;
#define PF_MEMBER_LIST(key, ...)   struct pf_list key;
#define PF_MEMBER_CHOICE(key, ...) int key;
#define PF_MEMBER_INT(key, ...)    int64_t key;
#define PF_MEMBER_REAL(key, ...)   double key;
#define PF_MEMBER_BOOL(key, ...)   bool key;

struct pf_settings {
    PF_SETTINGS(PF_MEMBER_TEXT, PF_MEMBER_LIST, PF_MEMBER_CHOICE, PF_MEMBER_INT, PF_MEMBER_REAL,
                PF_MEMBER_BOOL)
};

/* Defaults. -ENOMEM. On failure nothing needs to be freed. */
int pf_settings_init(struct pf_settings *settings, struct pf_error *err);
void pf_settings_free(struct pf_settings *settings);

/* Sets one key from text ('-' and '_' alike in the key). -ENOENT unknown key, -EINVAL bad value,
 * -ERANGE out of range; the error says what would be valid (and the nearest key for -ENOENT). */
int pf_settings_set(struct pf_settings *settings, const char *key, const char *value,
                    struct pf_error *err);

/* Reads an INI file: `key = value` lines; comments are lines that begin with # or ;, [section]
 * lines are free. A value may stand in "quotes" to keep spaces at its ends. Every problem (unknown
 * key, bad value, a key set twice, ...) is an error with file and line; the first one is described,
 * and the settings are then half read. -ENOENT when the file is missing. */
int pf_settings_read(struct pf_settings *settings, const char *path, struct pf_error *err);

/* The line of such a file that sets a key, of a list the last one, from 1. 0: none does, or it cannot be read
 * so far. */
int pf_settings_line(const char *path, const char *key);

/* Takes --key VALUE, --key=VALUE, --key / --no-key (BOOL) out of argv; what remains (operands,
 * options that are no keys, and "--") is left in argv[1..*argc-1], argv[*argc] is NULL.
 * -c FILE / --config FILE is read first, wherever it stands. */
int pf_settings_take_options(struct pf_settings *settings, int *argc, char **argv,
                             struct pf_error *err);

/* Describes an option that nobody has taken, with the nearest one there is. Returns -EINVAL. */
int pf_settings_unknown_option(const char *option, struct pf_error *err);

/* Writes the table as a commented configuration file with the values in force, those that
 * are the defaults as comments, which pf_settings_read() takes again. -ENOMEM, errno of writing. */
int pf_settings_print(const struct pf_settings *settings, FILE *to);

/* Writes option help of the sections and single keys named ("capture engine pair"; NULL: all). */
void pf_settings_print_help(FILE *to, const char *wanted);

/* DIR of a source "folder:DIR", borrowed; NULL when it is another one, or names none. */
const char *pf_settings_folder(const char *source);

/* What is behind "camera:" in a source, "" of "camera" alone, borrowed; NULL when it is another one. A
 * port holds a ':' ("usb:001,004", "ptpip:127.0.0.1:15740:15741"), a serial number does not. */
const char *pf_settings_camera(const char *source);

/* Where a camera of this maker is to put its pictures. */
enum pf_capture_target pf_settings_capture_target(const struct pf_settings *settings,
                                                  const char *maker);

/* Whether a hook is an address to post to; else it is a program. */
bool pf_settings_is_url(const char *hook);

/* gap as text -> milliseconds; *ret_fixed is true when a plain number of seconds was given. The
 * presets are where the limit begins: auto and flash 8 s, in-camera 2 s, rail 20 s. -EINVAL. */
int pf_settings_gap(const char *text, int64_t *ret_gap_ms, bool *ret_fixed, struct pf_error *err);

#endif
