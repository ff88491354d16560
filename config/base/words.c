#include "config/base/words.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* One word from *text on, written to `to`; false: a quote is not closed. */
static bool take_word(const char **text, char *to)
{
    char quote = 0;
    const char *at = *text;
    for (; *at && (quote || !is_blank(*at)); at++) {
        if (!quote && (*at == '\'' || *at == '"')) {
            quote = *at;
        } else if (quote && *at == quote) {
            quote = 0;
        } else if (*at == '\\' && at[1] &&
                   (!quote || (quote == '"' && (at[1] == '"' || at[1] == '\\')))) {
            *to++ = *++at;
        } else {
            *to++ = *at;
        }
    }
    *to = '\0';
    *text = at;
    return !quote;
}

int pf_words(const char *text, char ***ret, struct pf_error *err)
{
    /* A word has two bytes at least, the blank behind it counted. */
    char **words = calloc(strlen(text) / 2 + 2, sizeof(*words));
    size_t count = 0;
    int r = words ? 0 : pf_fail(err, ENOMEM, "out of memory");
    while (!r) {
        while (is_blank(*text))
            text++;
        if (!*text)
            break;
        words[count] = malloc(strlen(text) + 1);
        if (!words[count])
            r = pf_fail(err, ENOMEM, "out of memory");
        else if (!take_word(&text, words[count++]))
            r = pf_fail(err, EINVAL, "a quote is not closed");
    }
    if (!r && (!count || !*words[0]))
        r = pf_fail(err, EINVAL, "no program is named");
    if (r < 0)
        words = pf_words_free(words);
    else
        *ret = words;
    return r;
}

char **pf_words_free(char **words)
{
    for (char **word = words; word && *word; word++)
        free(*word);
    free(words);
    return NULL;
}

bool pf_words_have(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; *at; at += strcspn(at, " "), at += strspn(at, " "))
        if (strcspn(at, " ") == length && !memcmp(at, word, length))
            return true;
    return false;
}
