# SPDX-License-Identifier: MIT
"""The computing that cpu.py and mixed.py share: the arithmetic of stages/cpu, in Python."""


def compute(rounds):
    x = 1
    for _ in range(rounds):
        x = (x * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
        x ^= x >> 29
    return x
