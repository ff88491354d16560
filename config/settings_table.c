#include "config/settings_table.h"

#include <string.h>

#define ROW(type, key, initial, low, high, unit, section, help, ...)                               \
    {type,          #key, initial,                                                                 \
     low,           high, unit,                                                                    \
     section,       help, offsetof(struct pf_settings, key),                                       \
     "" __VA_ARGS__},
#define TEXT(key, initial, ...)   ROW(PF_SETTING_TEXT, key, initial, __VA_ARGS__)
#define LIST(key, initial, ...)   ROW(PF_SETTING_LIST, key, initial, __VA_ARGS__)
#define CHOICE(key, initial, ...) ROW(PF_SETTING_CHOICE, key, initial, __VA_ARGS__)
#define INT(key, initial, ...)    ROW(PF_SETTING_INT, key, #initial, __VA_ARGS__)
#define REAL(key, initial, ...)   ROW(PF_SETTING_REAL, key, #initial, __VA_ARGS__)
#define BOOL(key, initial, ...)   ROW(PF_SETTING_BOOL, key, BOOL_TEXT_##initial, __VA_ARGS__)
/* true and false are macros in C11. */
#define BOOL_TEXT_true  "yes"
#define BOOL_TEXT_false "no"
#define BOOL_TEXT_1     "yes"
#define BOOL_TEXT_0     "no"

const struct pf_setting pf_setting_rows[] = {PF_SETTINGS(TEXT, LIST, CHOICE, INT, REAL, BOOL)};
const size_t pf_setting_count = sizeof(pf_setting_rows) / sizeof(pf_setting_rows[0]);

static char plain(char c)
{
    return c == '-' ? '_' : c;
}

const struct pf_setting *pf_setting_find(const char *key, size_t length)
{
    for (size_t i = 0; i < pf_setting_count; i++) {
        const char *row = pf_setting_rows[i].key;
        size_t at = 0;
        while (at < length && row[at] && row[at] == plain(key[at]))
            at++;
        if (at == length && !row[at])
            return &pf_setting_rows[i];
    }
    return NULL;
}

/* Whether the word is one of those in a list that is separated by spaces. */
static bool is_among(const char *words, const char *key, size_t length)
{
    while (*words) {
        size_t at = 0, word = strcspn(words, " ");
        while (at < length && at < word && words[at] == plain(key[at]))
            at++;
        if (at == length && at == word)
            return true;
        words += word + strspn(words + word, " ");
    }
    return false;
}

const struct pf_setting *pf_setting_successor(const struct pf_setting *rows, size_t count,
                                              const char *key, size_t length)
{
    for (size_t i = 0; i < count; i++)
        if (is_among(rows[i].formerly, key, length))
            return &rows[i];
    return NULL;
}

/* Optimal string alignment after Damerau 1964, three rows of the table at a time. */
int pf_edit_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    enum { LONGEST = 63 };
    int rows[3][LONGEST + 1];
    int *before = rows[0], *last = rows[1], *now = rows[2];
    a_length = a_length < LONGEST ? a_length : LONGEST;
    b_length = b_length < LONGEST ? b_length : LONGEST;
    for (size_t j = 0; j <= b_length; j++)
        last[j] = (int)j;
    for (size_t i = 1; i <= a_length; i++) {
        now[0] = (int)i;
        for (size_t j = 1; j <= b_length; j++) {
            char x = plain(a[i - 1]), y = plain(b[j - 1]);
            int best = last[j - 1] + (x != y);
            best = last[j] + 1 < best ? last[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && x == plain(b[j - 2]) && plain(a[i - 2]) == y &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        int *free_row = before;
        before = last;
        last = now;
        now = free_row;
    }
    return last[b_length];
}

const struct pf_setting *pf_setting_nearest(const char *key, size_t length)
{
    const struct pf_setting *nearest = NULL;
    int least = (int)length / 3 + 1; /* a third of it may be wrong */
    for (size_t i = 0; i < pf_setting_count; i++) {
        const struct pf_setting *row = &pf_setting_rows[i];
        size_t row_length = strlen(row->key);
        int distance = pf_edit_distance(key, length, row->key, row_length);
        if (distance > least && length >= 3 && row_length > length &&
            pf_edit_distance(key, length, row->key, length) == 0)
            distance = least; /* the beginning of a key */
        if (distance < least || (distance == least && !nearest)) {
            least = distance;
            nearest = row;
        }
    }
    return nearest;
}
