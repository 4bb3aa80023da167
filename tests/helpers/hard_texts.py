"""Texts that tokenizers cut differently."""

HARD_TEXTS = [
    "Hello world", " Hello  world ", "hello\nworld\n\n\nagain\r\n\r\nend", "tabs\tand\t\tmore\t", "   leading", "trailing   ", "a  b   c    d",
    "I'm sure you've said WE'LL GO, it'S 'tis 'Twas can't CAN'T", "1 12 123 1234 12345 3.14159 1,000,000 0x1F 2nd 10km", "year2024is12", "x=1;y=22;z=333",
    "옛날 옛적에 세 아들을 둔 왕이 살았다.", "한국어 텍스트, 그리고 English 섞임 2024년", "日本語のテキスト、漢字とかな。", "中文字符，标点符号！数字123和English",
    "👑 crown 👨‍👩‍👧‍👦 family 🏳️‍🌈 flag 🇰🇷", "naïve café résumé Ångström", "e\u0301 combining n\u0303 a\u0308", "Привет, мир! Как дела?", "مرحبا بالعالم، كيف الحال؟",
    "नमस्ते दुनिया।", "สวัสดีชาวโลก", "שלום עולם", "def f(x):\n    return x**2 + 3*x - 1  # comment\n", "if (a && b || !c) { x += 1; }\n\t\treturn;\n", "<html><body class=\"x\">&nbsp;</body></html>",
    "https://example.com/path?q=1&r=2#frag user@mail.org", "CamelCaseWord snake_case_word SCREAMING_CASE kebab-case", "!!! ??? ... --- *** ((())) [[]] {{}}", "$100 €50 £20 ¥3000 ~^`|",
    "\u00a0nbsp\u2003em space\u3000ideographic", "½ ² ³ ① Ⅳ ٣ ५", "\n", " ", "  ", "\n\n  \n", "a", "ab\u200bcd zero\u200dwidth", "ǅ titlecase ʰ modifier ª ordinal",
    "The quick brown fox jumps over the lazy dog. " * 2, "iPhone iOS17 macOS McDonald's O'Reilly don'tknow", "A.B.C. U.S.A. e.g. i.e.", "“quotes” ‘single’ — dash – en … ellipsis",
]  # fmt: skip
