/* A camera for tests: a PTP/IP responder on the loopback that the real libgphoto2 talks to.
 *
 * One process, one thread, one poll loop; no code of the product but none of its mocks either. The
 * pictures are files of a directory, taken one after the other; what goes wrong is said through the
 * control port (control.c lists the words). State is one struct camera; objects and connections are
 * owned by it.
 * Sources: PIMA 15740 (PTP), CIPA DC-005 (PTP/IP), and how libgphoto2 2.5.30 asks.
 */
#ifndef TEST_CAMERA_H
#define TEST_CAMERA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum profile {
    PROFILE_GENERIC,
    PROFILE_NIKON,
    PROFILE_CANON,
    PROFILE_OLYMPUS,
    PROFILE_PANASONIC,
    PROFILE_SONY,
    PROFILE_FUJI,
};

/* Bytes that grow; running out of memory ends the program. Numbers are little-endian. */
struct bytes {
    unsigned char *data;
    size_t size, capacity;
};
void put(struct bytes *bytes, const void *data, size_t size);
void put_u8(struct bytes *bytes, unsigned value);
void put_u16(struct bytes *bytes, unsigned value);
void put_u32(struct bytes *bytes, uint32_t value);
void put_u64(struct bytes *bytes, uint64_t value);
void put_string(struct bytes *bytes, const char *text); /* PTP: length, UCS-2 */
void drop_front(struct bytes *bytes, size_t size);
uint32_t u32_at(const unsigned char *data);
unsigned u16_at(const unsigned char *data);

/* What is done when the byte `at` of a connection would be sent. */
enum mark_action { MARK_NONE, MARK_DROP, MARK_HOLD };
struct connection {
    int fd; /* -1: none */
    struct bytes in, out;
    uint64_t sent;
    uint64_t mark_at;
    enum mark_action mark;
    int64_t hold_ms, held_until_ms;
};

struct object {
    uint32_t handle, parent;
    char name[32];
    char *file;                 /* NULL: a folder */
    uint64_t size, served_size; /* what it has in the end, and what the camera says now */
    unsigned format;
    int64_t time_s;
    int64_t complete_ms; /* when served_size becomes size; 0: it is */
    bool in_memory, deleted;
};

enum {
    EVENT_PROPERTY_CHANGED = 0x4006, /* of PTP */
    PROPERTY_BATTERY = 0x5001,
};

struct event {
    unsigned code;
    uint32_t parameter;
};

/* Counters of faults still to come. */
struct faults {
    int busy;   /* answers to ObjectInfo that are DeviceBusy */
    int lose;   /* shots that raise no event */
    int shorts; /* shots whose size is too small at first */
    int refuse; /* deletions that are refused */
    int drops;  /* downloads in which the link is dropped after drop_after bytes */
    uint64_t drop_after;
    int stalls; /* downloads that stop for stall_ms after stall_after bytes */
    uint64_t stall_after;
    int64_t stall_ms;
    bool hang;   /* answers only with what makes libgphoto2 wait for ever */
    int percent; /* one of the above at random, per shot and per download */
    uint64_t random;
};

struct camera {
    enum profile profile;
    const char *serial, *model;
    char **files; /* pictures, in order of name */
    size_t file_count, next_file;
    bool pairs;     /* each shot takes the next two: JPEG and RAW of one name */
    bool to_memory; /* this shot goes to the camera's memory: gone when fetched, or with the link */
    unsigned counter; /* of file names */
    int64_t clock_s;  /* the camera's own; one second per shot */
    bool full;
    unsigned battery;
    bool chatters;
    int64_t expose_ms;  /* from the word to the picture, where a Nikon is told to shoot */
    int focus;          /* position, in driven steps */
    int steps_per_file; /* 0: pictures come in order; else the focus chooses */
    int drives;         /* how often it was driven */
    int jump;           /* steps that the drive after the next `jump_after` goes too far */
    int jump_after;
    bool live_view, at_end, told_properties;

    struct object *objects;
    size_t object_count;
    uint32_t next_handle;
    struct event events[1024]; /* polled by the makers' commands */
    size_t event_count;
    int shots_due;
    int64_t shot_every_ms, next_shot_ms;
    struct faults faults;

    int command_listener, event_listener, control_listener;
    int command_port, event_port, control_port;
    struct connection command, event, control;
    bool unplugged;
    bool greeted, event_greeted; /* InitCommand and InitEvent have been answered */
    uint32_t connection_number;
    int64_t next_stale_ms; /* hang: when the next stale answer goes out */

    struct bytes data_in; /* of the data phase under way */
    unsigned pending_code;
    uint32_t pending_tid, pending_parameters[5];
    bool pending;

    unsigned operations[65536]; /* how often each was asked */
    unsigned sessions, downloads, bytes_resumed;
    FILE *log;
};

int64_t now_ms(void);
void die(const char *what) __attribute__((noreturn));

/* card.c */
void card_begin(struct camera *camera, const char *directory);
void card_shoot(struct camera *camera);       /* one shot now */
void card_expose(struct camera *camera);      /* one after expose_ms */
void card_tick(struct camera *camera);        /* shots that are due, sizes that settle */
int64_t card_deadline(struct camera *camera); /* INT64_MAX none */
struct object *card_object(struct camera *camera, uint32_t handle); /* NULL: not there */
bool card_chance(struct camera *camera); /* whether a fault happens at random now */
uint64_t card_random(struct camera *camera, uint64_t below);

/* ptp.c: answers an operation whose data phase, if any, has arrived. */
void ptp_answer(struct camera *camera, unsigned code, uint32_t tid, const uint32_t *parameters,
                const struct bytes *data);
bool ptp_expects_data(const struct camera *camera, unsigned code);

/* maker.c: operations of the makers; false when it is none of them. */
bool maker_answer(struct camera *camera, unsigned code, uint32_t tid, const uint32_t *parameters,
                  const struct bytes *data);
size_t maker_operations(const struct camera *camera, const uint16_t **ret);
/* Moves the focus; false at the end of the way. */
bool maker_drive(struct camera *camera, int steps);

/* mirrorless.c: the same of the other makers */
bool mirrorless_answer(struct camera *camera, unsigned code, uint32_t tid,
                       const uint32_t *parameters, const struct bytes *data);
bool mirrorless_expects_data(const struct camera *camera, unsigned code);
size_t mirrorless_operations(const struct camera *camera, const uint16_t **ret);
/* What lies under a handle that stands for whatever is next; NULL: it is none, or nothing is there. */
struct object *mirrorless_object(struct camera *camera, uint32_t handle);

/* ptpip.c */
void ptpip_respond(struct camera *camera, unsigned code, uint32_t tid, const uint32_t *parameters,
                   int count);
void ptpip_send_data(struct camera *camera, uint32_t tid, const void *data, size_t size);
/* Data of an object: faults of downloads apply. */
void ptpip_send_object(struct camera *camera, uint32_t tid, const void *data, size_t size);
void ptpip_event(struct camera *camera, unsigned code, uint32_t parameter);
void ptpip_take(struct camera *camera, bool event);
void ptpip_hang_up(struct camera *camera);

/* control.c */
void control_take(struct camera *camera);

#endif
