/* Words in a text: a command line -> its words, without a shell; lists of words.
 *
 * Callable from any process and thread. Words are parted by blanks; '...' keeps everything, "..."
 * everything but \" and \\, and a backslash outside of quotes the next byte. Nothing is expanded.
 */
#ifndef PF_WORDS_H
#define PF_WORDS_H

#include <stdbool.h>

#include "config/base/error.h"

/* NULL-terminated, the caller's (pf_words_free). -EINVAL: a quote is not closed, or there is no word;
 * -ENOMEM. */
int pf_words(const char *text, char ***ret, struct pf_error *err);
char **pf_words_free(char **words); /* NULL-safe, returns NULL */

/* Whether the word is one of those in a list, which blanks part and nothing quotes. */
bool pf_words_have(const char *list, const char *word);

#endif
