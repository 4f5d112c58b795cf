/* What blocks of 64 bytes hold, a bit for each byte: the part of the tokenizer that touches them all.
 *
 * One body each for vectors of 16 or 32 bytes, for masks of 64, and for one byte after the other;
 * `fifhir_look` is the widest that this processor has. All of them give the same bits. */
#ifndef FIFHIR_LOOK_H
#define FIFHIR_LOOK_H

#include <stddef.h>
#include <stdint.h>

/* `stops` are delimiters, CR and LF, among them the line `ends` and the `fields` delimiters;
 * `special` is what text may not hold unchanged (escape delimiters, quotes, backslashes, control
 * characters); `high` is what is not ASCII. */
typedef struct { uint64_t stops, ends, fields, special, high; } fifhir_block;

/* Look at `blocks` times 64 bytes. The delimiters are those of a message, in their order: field,
 * component, repetition, escape, subcomponent. */
typedef void (*fifhir_looker)(
    const unsigned char *at, size_t blocks, const unsigned char *delimiters, fifhir_block *found);

static void fifhir_look_bytes(
    const unsigned char *at, size_t blocks, const unsigned char *d, fifhir_block *found)
{
    for (; blocks; blocks--, found++, at += 64) {
        fifhir_block all = {0, 0, 0, 0, 0};
        for (int i = 0; i < 64; i++) {
            unsigned char c = at[i];
            uint64_t bit = (uint64_t)1 << i;
            int end = c == 13 || c == 10;
            if (end) all.ends |= bit;
            if (c == d[0]) all.fields |= bit;
            if (end || c == d[0] || c == d[1] || c == d[2] || c == d[4]) all.stops |= bit;
            if (c == d[3] || c == 34 || c == 92 || (c < 32 && !end)) all.special |= bit;
            if (c > 127) all.high |= bit;
        }
        *found = all;
    }
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define FIFHIR_LOOK_VECTORS(NAME, TARGET, VECTOR, WIDTH, ALL, SAME, OR, ANDNOT, LEAST, MASK)        \
    __attribute__((target(TARGET))) static void NAME(                                               \
        const unsigned char *at, size_t blocks, const unsigned char *d, fifhir_block *found)        \
    {                                                                                               \
        const VECTOR field = ALL((char)d[0]), component = ALL((char)d[1]);                          \
        const VECTOR repetition = ALL((char)d[2]), escape = ALL((char)d[3]);                        \
        const VECTOR subcomponent = ALL((char)d[4]), cr = ALL(13), lf = ALL(10);                    \
        const VECTOR quote = ALL(34), backslash = ALL(92), last_control = ALL(31);                  \
        for (; blocks; blocks--, found++) {                                                         \
            fifhir_block all = {0, 0, 0, 0, 0};                                                     \
            for (int shift = 0; shift < 64; shift += WIDTH, at += WIDTH) {                          \
                VECTOR block;                                                                       \
                __builtin_memcpy(&block, at, WIDTH);                                                \
                VECTOR ends = OR(SAME(block, cr), SAME(block, lf));                                 \
                VECTOR fields = SAME(block, field);                                                 \
                VECTOR outer = OR(fields, SAME(block, component));                                  \
                VECTOR inner = OR(SAME(block, repetition), SAME(block, subcomponent));              \
                VECTOR control = ANDNOT(ends, SAME(LEAST(block, last_control), block));             \
                VECTOR quotes = OR(SAME(block, quote), SAME(block, backslash));                     \
                VECTOR special = OR(OR(SAME(block, escape), control), quotes);                      \
                all.ends |= (uint64_t)(uint32_t)MASK(ends) << shift;                                \
                all.fields |= (uint64_t)(uint32_t)MASK(fields) << shift;                            \
                all.special |= (uint64_t)(uint32_t)MASK(special) << shift;                          \
                all.high |= (uint64_t)(uint32_t)MASK(block) << shift;                               \
                all.stops |= (uint64_t)(uint32_t)MASK(OR(ends, OR(outer, inner))) << shift;         \
            }                                                                                       \
            *found = all;                                                                           \
        }                                                                                           \
    }

FIFHIR_LOOK_VECTORS(fifhir_look_sse2, "sse2", __m128i, 16, _mm_set1_epi8, _mm_cmpeq_epi8,
    _mm_or_si128, _mm_andnot_si128, _mm_min_epu8, _mm_movemask_epi8)
FIFHIR_LOOK_VECTORS(fifhir_look_avx2, "avx2", __m256i, 32, _mm256_set1_epi8, _mm256_cmpeq_epi8,
    _mm256_or_si256, _mm256_andnot_si256, _mm256_min_epu8, _mm256_movemask_epi8)

#define FIFHIR_IS(c) _mm512_cmpeq_epi8_mask(block, c)
__attribute__((target("avx512bw"))) static void fifhir_look_avx512(
    const unsigned char *at, size_t blocks, const unsigned char *d, fifhir_block *found)
{
    const __m512i field = _mm512_set1_epi8((char)d[0]), component = _mm512_set1_epi8((char)d[1]);
    const __m512i repetition = _mm512_set1_epi8((char)d[2]), escape = _mm512_set1_epi8((char)d[3]);
    const __m512i subcomponent = _mm512_set1_epi8((char)d[4]);
    const __m512i cr = _mm512_set1_epi8(13), lf = _mm512_set1_epi8(10);
    const __m512i quote = _mm512_set1_epi8(34), backslash = _mm512_set1_epi8(92);
    const __m512i blank = _mm512_set1_epi8(32);
    for (; blocks; blocks--, found++, at += 64) {
        __m512i block = _mm512_loadu_si512(at);
        found->ends = FIFHIR_IS(cr) | FIFHIR_IS(lf);
        found->fields = FIFHIR_IS(field);
        found->stops = found->ends | found->fields | FIFHIR_IS(component) | FIFHIR_IS(repetition)
            | FIFHIR_IS(subcomponent);
        found->special = FIFHIR_IS(escape) | FIFHIR_IS(quote) | FIFHIR_IS(backslash)
            | (_mm512_cmplt_epu8_mask(block, blank) & ~found->ends);
        found->high = _mm512_movepi8_mask(block);
    }
}
#undef FIFHIR_IS

static fifhir_looker fifhir_widest(void)
{
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bw")) return fifhir_look_avx512;
    return __builtin_cpu_supports("avx2") ? fifhir_look_avx2 : fifhir_look_sse2;
}
#else
static fifhir_looker fifhir_widest(void) { return fifhir_look_bytes; }
#endif

static fifhir_looker fifhir_look = fifhir_look_bytes; /* until the module has been imported */
static inline int fifhir_lowest(uint64_t mask) { return __builtin_ctzll(mask); }

#endif
