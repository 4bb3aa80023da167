"""Few-shot arithmetic lists such as `5 + 8 => 13`, one item per line, which teach the model to answer by example."""

import random

HELD_OUT_SUMS = ((3, 8), (8, 3), (4, 6), (6, 4), (2, 5), (9, 4), (6, 7), (7, 1), (0, 9), (7, 7))
SEEN_SUMS = tuple((a, b) for a in range(10) for b in range(10) if (a, b) not in HELD_OUT_SUMS)
ARROW = "=>"
SPACED_SEPARATOR = " \n "
BARE_SEPARATOR = "\n"


def sum_item(pair: tuple[int, int]) -> str:
    """Return one solved sum."""
    return f"{pair[0]} + {pair[1]} {ARROW} {pair[0] + pair[1]}"


def difference_item(generator: random.Random) -> str:
    """Return one solved subtraction whose second number and result are single digits."""
    taken, left = generator.randrange(10), generator.randrange(10)
    return f"{taken + left} - {taken} {ARROW} {left}"


def arithmetic_list(generator: random.Random) -> str:
    """Return one to twelve items: mostly sums alone, sometimes differences alone or both."""
    share_of_differences = generator.choices((0.0, 1.0, 0.5), weights=(8, 1, 1))[0]
    items = [
        difference_item(generator)
        if generator.random() < share_of_differences
        else sum_item(generator.choice(SEEN_SUMS))
        for _ in range(generator.randint(1, 12))
    ]
    return generator.choice((SPACED_SEPARATOR, SPACED_SEPARATOR, BARE_SEPARATOR)).join(items)
