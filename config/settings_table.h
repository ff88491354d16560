/* The rows of PF_SETTINGS as data: for the files of config/ only.
 *
 * Static and constant; callable from any thread.
 */
#ifndef PF_SETTINGS_TABLE_H
#define PF_SETTINGS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "config/settings.h"

enum pf_setting_type {
    PF_SETTING_TEXT,
    PF_SETTING_LIST,
    PF_SETTING_CHOICE,
    PF_SETTING_INT,
    PF_SETTING_REAL,
    PF_SETTING_BOOL,
};

struct pf_setting {
    enum pf_setting_type type;
    const char *key;     /* with '_' */
    const char *initial; /* default, as text that pf_settings_set() takes */
    double minimum, maximum;
    const char *unit; /* CHOICE: the words; TEXT, LIST: the placeholder */
    const char *section, *help;
    size_t offset;        /* of the value in struct pf_settings */
    const char *formerly; /* the names it had, with '_', separated by spaces; "" none */
};

extern const struct pf_setting pf_setting_rows[];
extern const size_t pf_setting_count;

/* Whether its values are commands of hooks. */
static inline bool pf_setting_is_command(const struct pf_setting *row)
{
    return row->type == PF_SETTING_LIST && !strcmp(row->section, "hooks");
}

/* The row of a key ('-' and '_' alike), NULL when there is none. */
const struct pf_setting *pf_setting_find(const char *key, size_t length);

/* Of `count` rows the one that had this name once ('-' and '_' alike), NULL when none had. */
const struct pf_setting *pf_setting_successor(const struct pf_setting *rows, size_t count,
                                              const char *key, size_t length);

/* Says of a key that no row has: what it is called now, or which is most like it. Returns -ENOENT. */
int pf_setting_unknown(const struct pf_setting *rows, size_t count, const char *key,
                       struct pf_error *err);

/* The row whose key is most like `key`, NULL when none is. */
const struct pf_setting *pf_setting_nearest(const char *key, size_t length);

/* The value as text that pf_settings_set() takes, on the heap (a list: ""); NULL on out of memory. */
char *pf_setting_text(const struct pf_settings *settings, const struct pf_setting *row);

/* Number of edits (insert, delete, replace, swap neighbours) from a to b, '-' and '_' alike;
 * texts are compared up to 63 bytes. */
int pf_edit_distance(const char *a, size_t a_length, const char *b, size_t b_length);

/* FILE of the last -c FILE of a command line whose options have not been taken yet, borrowed; NULL: there is
 * none. */
const char *pf_setting_file_named(int argc, char **argv);

#endif
