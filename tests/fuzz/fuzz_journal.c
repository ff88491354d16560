/* A damaged journal: refused and left as it is, or opened; then nothing that it says does harm.
 *
 * The input is the damage, done to a journal that this target makes: its first byte says to which
 * file (bit 0: the write-ahead log, else the database), whether that is cut (bit 1: at the
 * 32-bit number which follows), and whether it is done unseen, so that the database is taken for the
 * one that was closed and is not checked as a whole (bit 2). Then patches: offset (32 bits, little
 * endian, taken modulo the size), length (8 bits), bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/file.h"
#include "config/base/time.h"
#include "service/deliveries.h"
#include "service/journal_db.h" /* the note */
#include "tests/fuzz/fuzz.h"

struct content {
    uint8_t *bytes;
    size_t size;
};

static struct content database, wal;

static struct content load(const char *path)
{
    struct content content = {0};
    struct stat st;
    int fd = open(path, O_RDONLY);
    FUZZ_CHECK(fd >= 0 && fstat(fd, &st) == 0);
    content.size = (size_t)st.st_size;
    content.bytes = malloc(content.size + 1);
    FUZZ_CHECK(content.bytes && read(fd, content.bytes, content.size) == (ssize_t)content.size);
    close(fd);
    return content;
}

static void save(const char *path, const uint8_t *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    FUZZ_CHECK(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    close(fd);
}

static const char *in(const char *name)
{
    static char path[2][8192];
    static int turn;
    char *to = path[turn++ % 2];
    snprintf(to, sizeof(path[0]), "%s/state/%s", fuzz_directory(), name);
    return to;
}

static struct pf_record *make_record(int n)
{
    struct pf_record *record = calloc(1, sizeof(*record));
    char path[64];
    FUZZ_CHECK(record);
    snprintf(path, sizeof(path), "/in/IMG_%04d.JPG", n);
    record->path = strdup(path);
    record->source = strdup("folder:/in");
    record->format = strdup("jpeg");
    record->serial = strdup("12345");
    record->id = pf_identity_of_memory(&n, sizeof(n));
    record->size_bytes = 1000 + n;
    record->width = 60;
    record->height = 40;
    record->orientation = 1;
    record->capture_ms = INT64_C(1767323045000) + 100 * n;
    record->sequence = record->counter = -1;
    return record;
}

static int take_file(void *context, const struct pf_journal_file *file)
{
    (void)context;
    FUZZ_CHECK(file->path && file->frame);
    return 0;
}

static int take_version(void *context, const struct pf_journal_version *version)
{
    (void)context;
    FUZZ_CHECK(version->directory);
    return 0;
}

static void add_frames(struct pf_journal *journal, int first, int count)
{
    struct pf_error err = {0};
    for (int n = first; n < first + count; n++) {
        enum pf_journal_seen seen;
        struct pf_record *record = make_record(n);
        int64_t burst = 1 + n / 5;
        if (pf_journal_record_frame(journal, record, &seen, &err) == 0 && seen == PF_JOURNAL_NEW) {
            pf_journal_open_burst(journal, burst, record, NULL, &err);
            pf_journal_join(journal, burst, &record->id, false, &err);
            if (n % 5 == 4) {
                pf_journal_complete(journal, burst, "gap", NULL, &err);
                pf_journal_frame_result(journal, burst, &record->id, true, NULL, NULL, &err);
                pf_journal_published(journal, burst, 1, "/out/b", &err);
            }
        }
        pf_record_free(record);
    }
}

static void tell(struct pf_journal *journal)
{
    struct pf_error err = {0};
    json_t *event = json_pack("{s:s}", "event", "published");
    FUZZ_CHECK(event);
    pf_journal_deliver(journal, "on_burst", "true", event, &err);
    json_decref(event);
}

static void make(void)
{
    struct pf_journal *journal = NULL;
    struct pf_error err = {0};
    fuzz_quiet();
    char state[8192];
    snprintf(state, sizeof(state), "%s/state", fuzz_directory());
    FUZZ_CHECK(pf_journal_open(&journal, state, NULL, &err) == 0);
    add_frames(journal, 0, 20);
    tell(journal);
    pf_journal_close(journal); /* checkpoints: all is in the database */
    FUZZ_CHECK(pf_journal_open(&journal, state, NULL, &err) == 0);
    database = load(in("journal.sqlite"));
    add_frames(journal, 20, 7);
    wal = load(in("journal.sqlite-wal"));
    pf_journal_close(journal);
}

static void damage(struct content *content, const uint8_t *data, size_t size, bool cut)
{
    if (cut && size >= 4) {
        uint32_t at;
        memcpy(&at, data, 4);
        data += 4;
        size -= 4;
        content->size = at % (content->size + 1);
    }
    while (size > 5 && content->size) {
        uint32_t at;
        memcpy(&at, data, 4);
        size_t length = data[4];
        data += 5;
        size -= 5;
        if (length > size)
            length = size;
        at %= content->size;
        if (length > content->size - at)
            length = content->size - at;
        memcpy(content->bytes + at, data, length);
        data += length;
        size -= length;
    }
}

static void use_frames(const struct pf_journal_frames *frames)
{
    for (size_t i = 0; i < frames->count; i++) {
        const struct pf_journal_frame *frame = &frames->items[i];
        FUZZ_CHECK(frame->record && frame->attempts >= 0 && frame->state <= PF_FRAME_ASIDE);
        for (size_t k = 0; k < frame->path_count; k++)
            FUZZ_CHECK(frame->paths[k]);
    }
}

static void use_burst(struct pf_journal *journal, const struct pf_journal_burst *burst)
{
    struct pf_error err = {0};
    struct pf_journal_frames frames = {0};
    struct pf_journal_facts facts = {0};
    FUZZ_CHECK(burst->id[0] && !strchr(burst->id, '/') && burst->wanted >= 0);
    FUZZ_CHECK(burst->published >= 0 && burst->state <= PF_BURST_STATE_NOT_A_STACK);
    if (pf_journal_burst_frames(journal, burst->number, &frames, &err) == 0) {
        use_frames(&frames);
        pf_journal_frames_free(&frames);
    }
    if (pf_journal_burst_facts(journal, burst->number, &facts, &err) == 0)
        pf_journal_facts_free(&facts);
    pf_journal_versions(journal, burst->number, take_version, NULL, &err);
}

static void use_deliveries(struct pf_journal *journal)
{
    struct pf_error err = {0};
    struct pf_delivery_list list = {0};
    int64_t next;
    pf_journal_deliveries_next(journal, 0, &next, &err);
    if (pf_journal_deliveries_recent(journal, 100, &list, &err) == 0) {
        for (size_t i = 0; i < list.count; i++) {
            const struct pf_delivery *delivery = &list.items[i];
            FUZZ_CHECK(delivery->hook && delivery->target && delivery->event);
            FUZZ_CHECK(delivery->state <= PF_DELIVERY_GIVEN_UP && delivery->tries >= 0);
        }
        pf_deliveries_free(&list);
    }
}

static void use(struct pf_journal *journal)
{
    struct pf_error err = {0};
    int64_t next;
    struct pf_journal_frames frames = {0};
    if (pf_journal_next_burst(journal, &next, &err) == 0)
        FUZZ_CHECK(next > 0 && next <= INT64_MAX / 2);
    if (pf_journal_loose_frames(journal, &frames, &err) == 0) {
        use_frames(&frames);
        pf_journal_frames_free(&frames);
    }
    if (pf_journal_recent_frames(journal, -1, INT64_MAX, 5, &frames, &next, &err) == 0) {
        use_frames(&frames);
        pf_journal_frames_free(&frames);
    }
    for (int state = PF_BURST_STATE_OPEN; state <= PF_BURST_STATE_NOT_A_STACK; state++) {
        struct pf_journal_bursts bursts = {0};
        if (pf_journal_bursts_in(journal, (enum pf_burst_state)state, &bursts, &err) < 0)
            continue;
        for (size_t i = 0; i < bursts.count; i++)
            use_burst(journal, &bursts.items[i]);
        pf_journal_bursts_free(&bursts);
    }
    pf_journal_known(journal, "folder:/in", take_file, NULL, &err);
    use_deliveries(journal);
    /* And on: what is recorded now must be there, or be refused. */
    struct pf_record *record = make_record(1000);
    enum pf_journal_seen seen;
    struct pf_error why = {0};
    int r = pf_journal_record_frame(journal, record, &seen, &why);
    FUZZ_CHECK(r == 0 || (r < 0 && why.text[0]));
    if (r == 0 && pf_journal_frame(journal, &record->id, &frames, &err) == 0) {
        FUZZ_CHECK(frames.count == 1);
        pf_journal_frames_free(&frames);
    }
    pf_record_free(record);
    add_frames(journal, 20, 10);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pf_journal *journal = NULL;
    struct pf_error err = {0};
    if (!database.bytes)
        make();
    if (size < 1)
        return 0;
    bool of_wal = data[0] & 1;
    struct content broken = of_wal ? wal : database;
    broken.bytes = malloc(broken.size + 1);
    FUZZ_CHECK(broken.bytes);
    memcpy(broken.bytes, of_wal ? wal.bytes : database.bytes, broken.size);
    damage(&broken, data + 1, size - 1, data[0] & 2);
    unlink(in("journal.sqlite-shm"));
    unlink(in("journal.sqlite-wal"));
    if (of_wal) {
        save(in("journal.sqlite"), database.bytes, database.size);
        save(in("journal.sqlite-wal"), broken.bytes, broken.size);
    } else {
        save(in("journal.sqlite"), broken.bytes, broken.size);
    }
    if (data[0] & 4)
        pf_journal_leave_note(in("journal.sqlite"), pf_wall_ms());
    char state[8192];
    snprintf(state, sizeof(state), "%s/state", fuzz_directory());
    int r = pf_journal_open(&journal, state, NULL, &err);
    if (r == 0) {
        /* What a write-ahead log has not whole is as if it had never been; all before is there. */
        if (of_wal) {
            struct pf_journal_frames frames = {0};
            struct pf_record *record = make_record(19);
            FUZZ_CHECK(pf_journal_frame(journal, &record->id, &frames, &err) == 0);
            pf_journal_frames_free(&frames);
            pf_record_free(record);
        }
        use(journal);
        pf_journal_close(journal);
    } else {
        FUZZ_CHECK(err.code == -r && err.text[0]);
        if (!of_wal) { /* left as it is */
            struct content left = load(in("journal.sqlite"));
            FUZZ_CHECK(left.size == broken.size && !memcmp(left.bytes, broken.bytes, left.size));
            free(left.bytes);
        }
    }
    free(broken.bytes);
    return 0;
}
