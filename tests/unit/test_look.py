"""Every body of `_hl7look.h` that this processor can run sees the same in a block."""

import ctypes
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

BLOCKS = 33
HEADER = Path(__file__).parents[2] / "fifhir" / "_hl7look.h"
SOURCE = f"""
#include "{HEADER}"
#define RUN(name) void run_##name(const unsigned char *at, size_t blocks, const unsigned char *d, \\
    fifhir_block *found) {{ fifhir_look_##name(at, blocks, d, found); }}
RUN(bytes)
#if defined(__x86_64__) && defined(__GNUC__)
RUN(sse2)
RUN(avx2)
RUN(avx512)
int runs_sse2(void) {{ return 1; }}
int runs_avx2(void) {{ return __builtin_cpu_supports("avx2") != 0; }}
int runs_avx512(void) {{ return __builtin_cpu_supports("avx512bw") != 0; }}
#endif
/* what is not called here is not to be warned of */
void *unused[] = {{(void *)fifhir_widest, (void *)&fifhir_look, (void *)fifhir_lowest}};
"""
Looker = Callable[[bytes, bytes], bytes]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("look")
    (folder / "look.c").write_text(SOURCE)
    command = [os.environ.get("CC", "cc"), "-O2", "-Wall", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", folder / "look.so", folder / "look.c"], check=True)
    return ctypes.CDLL(str(folder / "look.so"))


def looker(library: ctypes.CDLL, name: str) -> Looker:
    def look(data: bytes, delimiters: bytes) -> bytes:
        found = ctypes.create_string_buffer(len(data) // 64 * 40)
        run = getattr(library, f"run_{name}")
        run(data, ctypes.c_size_t(len(data) // 64), delimiters, found)
        return found.raw

    return look


@pytest.mark.parametrize("name", ["sse2", "avx2", "avx512"])
def test_all_widths_see_the_same(library: ctypes.CDLL, name: str) -> None:
    if not hasattr(library, f"runs_{name}") or not getattr(library, f"runs_{name}")():
        pytest.skip(f"this processor has no {name}")
    plain, wide = looker(library, "bytes"), looker(library, name)
    chance = random.Random(7)  # noqa: S311 - no secret
    for delimiters in (b"|^~\\&", b"#*!?$", b"\xa6^~\\&"):
        for alphabet in (bytes(range(256)), delimiters + b'\r\n "\\\t\x1bab\xc3', bytes(40)):
            data = bytes(chance.choices(alphabet, k=64 * BLOCKS))
            assert wide(data, delimiters) == plain(data, delimiters)
