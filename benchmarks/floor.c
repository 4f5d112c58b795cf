/* The floor: the least work that turns HL7 v2 into JSON, in C and without an object.
 *
 * One SSE2 pass finds every delimiter; then every leaf that is not empty is written under its HL7
 * path into a buffer, with the escapes JSON asks for:
 *
 *     [{"MSH-3":"REGSYS",...},{"PID-1":"1","PID-3.1":"70031849","PID-3.4.1":"NORTHFIELD",...},...]
 *
 * What it leaves out is everything that makes a parser: no look at MSH-1 and MSH-2 (the usual
 * delimiters are assumed), no HL7 escapes, no character sets, no dates, no nulls, no meaning, no
 * checks, no limits, one buffer used again and again. It is not a parser, it is a yardstick.
 */

#include <emmintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Where the delimiters lie, in order. The caller has room for one a byte, and 16 bytes to read
 * beyond the end. */
static size_t scan(const uint8_t *raw, size_t size, uint32_t *out)
{
    const __m128i field = _mm_set1_epi8('|'), component = _mm_set1_epi8('^'),
                  repetition = _mm_set1_epi8('~'), subcomponent = _mm_set1_epi8('&'),
                  end = _mm_set1_epi8('\r');
    size_t found = 0;
    for (size_t at = 0; at < size; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(raw + at));
        __m128i hits = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(bytes, field), _mm_cmpeq_epi8(bytes, component)),
            _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, repetition),
                                      _mm_cmpeq_epi8(bytes, subcomponent)),
                         _mm_cmpeq_epi8(bytes, end)));
        uint32_t mask = (uint32_t)_mm_movemask_epi8(hits);
        if (size - at < 16)
            mask &= (1u << (size - at)) - 1;
        while (mask) {
            out[found++] = (uint32_t)(at + (size_t)__builtin_ctz(mask));
            mask &= mask - 1;
        }
    }
    return found;
}

static uint8_t *put_escaped(uint8_t *to, const uint8_t *from, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = from[i];
        if (byte == '"' || byte == '\\') {
            *to++ = '\\';
            *to++ = byte;
        } else if (byte < 0x20) {
            memcpy(to, "\\u00", 4);
            to[4] = (uint8_t)digits[byte >> 4];
            to[5] = (uint8_t)digits[byte & 15];
            to += 6;
        } else {
            *to++ = byte;
        }
    }
    return to;
}

/* Copies sixteen bytes at a time for as long as none of them needs an escape. */
static uint8_t *put_text(uint8_t *to, const uint8_t *from, size_t size)
{
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'),
                  control = _mm_set1_epi8(0x1f);
    size_t at = 0;
    for (; at < size; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(from + at));
        __m128i bad = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, slash)),
            _mm_cmpeq_epi8(_mm_min_epu8(bytes, control), bytes));
        uint32_t mask = (uint32_t)_mm_movemask_epi8(bad);
        if (size - at < 16)
            mask &= (1u << (size - at)) - 1;
        if (mask)
            return put_escaped(to + at, from + at, size - at);
        _mm_storeu_si128((__m128i *)(to + at), bytes);
    }
    return to + size;
}

static uint8_t *put_number(uint8_t *to, unsigned number)
{
    if (number >= 100)
        *to++ = (uint8_t)('0' + number / 100 % 10);
    if (number >= 10)
        *to++ = (uint8_t)('0' + number / 10 % 10);
    *to++ = (uint8_t)('0' + number % 10);
    return to;
}

struct place {
    const uint8_t *name;
    unsigned field, repetition, component, subcomponent;
};

static uint8_t *put_leaf(uint8_t *to, const struct place *place, const uint8_t *from, size_t size)
{
    *to++ = '"';
    memcpy(to, place->name, 3);
    to[3] = '-';
    to = put_number(to + 4, place->field);
    if (place->repetition > 1) {
        *to++ = '(';
        to = put_number(to, place->repetition);
        *to++ = ')';
    }
    if (place->component > 1 || place->subcomponent > 1) {
        *to++ = '.';
        to = put_number(to, place->component);
    }
    if (place->subcomponent > 1) {
        *to++ = '.';
        to = put_number(to, place->subcomponent);
    }
    memcpy(to, "\":\"", 3);
    to = put_text(to + 3, from, size);
    *to++ = '"';
    *to++ = ',';
    return to;
}

/* The JSON's size. `out` has room for 24 bytes a byte of `raw`, `marks` for one each. */
static size_t convert(const uint8_t *raw, size_t size, uint32_t *marks, uint8_t *out)
{
    size_t found = scan(raw, size, marks);
    uint8_t *to = out;
    size_t start = 0;
    struct place place = {raw, 0, 1, 1, 1};
    *to++ = '[';
    *to++ = '{';
    for (size_t i = 0; i < found; i++) {
        size_t end = marks[i];
        if (end > start && place.field)
            to = put_leaf(to, &place, raw + start, end - start);
        start = end + 1;
        switch (raw[end]) {
        case '|':
            if (!place.field && !memcmp(place.name, "MSH", 3)) {
                while (raw[marks[i + 1]] != '|') /* MSH-2 is the delimiters themselves */
                    i++;
                start = marks[i + 1];
                place.field = 2;
                break;
            }
            place.field++;
            place.repetition = place.component = place.subcomponent = 1;
            break;
        case '~':
            place.repetition++;
            place.component = place.subcomponent = 1;
            break;
        case '^':
            place.component++;
            place.subcomponent = 1;
            break;
        case '&':
            place.subcomponent++;
            break;
        default:
            to[-1] = '}'; /* in place of the last comma */
            *to++ = ',';
            *to++ = '{';
            place = (struct place){raw + start, 0, 1, 1, 1};
        }
    }
    to -= 2; /* the comma and the brace of a segment that did not come */
    *to++ = ']';
    return (size_t)(to - out);
}

/* Convert the same message `times` times; the JSON of the last stands in `out`. */
size_t floor_run(const uint8_t *raw, size_t size, uint32_t *marks, uint8_t *out, size_t times)
{
    size_t written = 0;
    while (times--) {
        written = convert(raw, size, marks, out);
        __asm__ volatile("" : : "r"(out), "r"(marks) : "memory");
    }
    return written;
}
