/* Is a file whole, by its content; and what capture then reads of it. */
#include "capture/metadata.h"
#include "capture/record.h"
#include "capture/whole.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pf_bytes bytes; /* large */
    struct pf_whole whole = {0};
    struct pf_error err = {0};
    fuzz_quiet();
    pf_bytes_of_memory(&bytes, data, size);
    FUZZ_CHECK(pf_whole_check(&bytes, &whole) == 0);
    FUZZ_CHECK((whole.state == PF_WHOLE_YES) == !whole.reason[0]);
    if (whole.state != PF_WHOLE_YES)
        return 0;
    FUZZ_CHECK(whole.format && whole.width >= 0 && whole.height >= 0);
    struct pf_record *record = calloc(1, sizeof(*record));
    FUZZ_CHECK(record);
    FUZZ_CHECK(pf_metadata_read(&bytes, &whole, record, &err) == 0);
    pf_record_free(record);
    return 0;
}
