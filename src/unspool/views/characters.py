"""Characters that a reader should see, or should not: what steers a screen is shown, not obeyed."""

STEERING = (0xAD, 0x61C, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF)
"""Characters that are not seen and turn, break or hide what stands beside them; joiners are none, for emoji need them."""
CONTROLS = {i: chr(0x2400 + i) for i in range(32)} | dict.fromkeys(range(0x80, 0xA0), "\ufffd") | {i: f"\\u{i:04x}" for i in STEERING}
CONTROLS |= {0x7F: "␡", ord("\n"): "⏎", ord("\t"): "⇥"}
"""How such and control characters are shown."""


def shown(text: str) -> str:
    """A cell on screen: outer spaces away, but seen where there is nothing else; line breaks and control characters visible."""
    return (text.strip(" ") or "␣" * len(text)).translate(CONTROLS)


def marked(text: str) -> str:
    """A token by itself, where its spaces matter: those at its edges are seen, too."""
    inner = text.strip(" ")
    before, after = (len(text) - len(text.lstrip(" ")), len(text) - len(text.rstrip(" "))) if inner else (len(text), 0)
    return "␣" * before + shown(inner) + "␣" * after or "∅"


def safe(text: str) -> str:
    """A text without control characters that would steer the terminal; line breaks and tabs stay."""
    return text.translate({k: v for k, v in CONTROLS.items() if chr(k) not in "\n\t"})
