// What the page says, in English and Korean.

const ENGLISH = {
  title: "unspool lab", pageLab: "Lab", model: "Model", prompt: "Prompt", chat: "As a message to a chat model", decoder: "Decoder", decoderHint: "processors | one strategy | stops",
  add: "Add a part", search: "Search parts", seed: "Seed", count: "New tokens", run: "Run", stop: "Stop", goOn: "Go on", again: "Again", undo: "Undo", redo: "Redo",
  share: "Share", copyCommand: "Copy as command", copyPython: "Copy as Python", saveTrace: "Save trace", openTrace: "Open a trace", shareFile: "Share as one file",
  more: "Copy and share", help: "Keys and help", theme: "Light or dark", language: "한국어", close: "Close", cancel: "Cancel",
  text: "Text", steps: "Steps", choices: "What may come here", tree: "Tree", both: "Side by side", stages: "Processors", sliders: "Sliders",
  probability: "Probability", surprisal: "Surprise", entropy: "Entropy", rank: "Rank", plain: "Plain", colour: "Colour by",
  write: "Write", writeHint: "Words of your own after the prompt. They are read token by token, whatever their probability.", read: "Read it", readOn: "Read it and go on",
  empty: "Or press Run and watch, or try one of these:", otherTokens: "The two models cut texts into different tokens, so their distributions are of different things and only the texts are compared.", try_greedy: "the likeliest token every time: it loops", try_beam: "a beam of four, and what it prunes", try_nucleus: "five samples as one tree", try_exact: "the best text there is, with a proof", emptyTree: "The tree grows as texts do.", emptyChoices: "Choose a token of the text, and see what else could have come.",
  place: "Token", number: "#", token: "Token", model_p: "Model", after_p: "Processed", alternatives: "Alternatives", atEnd: "next token",
  all: "All", before: "before", after: "after", possible: "possible", effective: "Choices", effectiveChoices: "effective choices", mass: "passed", bits: "bits", cutBy: "cut by", survives: "would survive", chosen: "chosen",
  force: "Take this token and go on", forceShort: "take", texts: "Texts", compareWith: "Compare with the text shown", best: "best", likelihood: "log-probability", perplexity: "perplexity", length: "tokens",
  pruned: "Show pruned", fit: "Fit", zoomIn: "Nearer", zoomOut: "Farther", collapse: "Fold or unfold", nodes: "nodes", ways: "ways", proved: "Proof",
  treeHint: "Click a token to go there, a pruned one to take it. Shift and a click fold.", kept: "kept", finished: "finished", prunedNode: "pruned", score: "score", why: "why",
  draw100: "Draw 100", useSliders: "Use as decoder", resetSliders: "Reset", sliderNote: "Moved here in the browser, from the model's own logits.", drawn: "drawn of 100",
  second: "The other decoder", secondModel: "The other model", runBoth: "Run both", overText: "Over the text", divergence: "KL(A‖B)", backDivergence: "KL(B‖A)", overlap: "Overlap", parts: "They part at token", same: "They are the same so far.",
  bothHint: "Two decoders, or two models, from the same prompt: where their texts part, and how far their distributions lie apart at every token.", meanOverlap: "mean overlap", shared: "shared", infinite: "∞: one forbids what the other allows",
  running: "Decoding", ended: "Ended", stopped: "Stopped", gone: "The server does not answer. Is unspool lab still running? What you see stays.", badTrace: "This file is no trace that unspool wrote.",
  copied: "Copied", noClipboard: "The browser did not let the page copy. Here it is:", shared_ro: "A saved record: everything can be looked at; to decode on, open it in unspool lab.",
  undone: "Undone", redone: "Redone", nothingUndo: "There is nothing to undo", when: "When to use it", formula: "Formula", range: "Range", defaultIs: "Default", earlier: "Move earlier", later: "Move later", remove: "Remove", noParameters: "It has no settings.",
  compareTexts: "Two texts", a: "A", b: "B", common: "the same", work: "Work", skipLink: "To the text", views: "Views", expand: "Details",
  lessons: "Lessons", lessonBack: "Back", lessonNext: "Next", lessonSkip: "Skip", lessonEnd: "Leave the lessons", lessonAfter: "Next lesson", lessonLeave: "Leave the lesson: the text stays, your own settings come back", lessonWhere: "Show me where", lessonTask: "Your turn.", emptyLessons: "Nothing is decoded yet. Learn how decoding works, step by step:",
  bounds: "From the tokens that both records hold: KL is at least, the overlap at most, what is said.", earlierTokens: "earlier tokens", laterTokens: "later tokens",
};
const KOREAN = {
  title: "unspool 실험실", pageLab: "실험", model: "모델", prompt: "프롬프트", chat: "대화 모델에 보내는 말로", decoder: "디코더", decoderHint: "처리기 | 전략 하나 | 멈춤",
  add: "부품 더하기", search: "부품 찾기", seed: "시드", count: "새 토큰", run: "실행", stop: "멈춤", goOn: "이어서", again: "다시", undo: "되돌리기", redo: "다시 하기",
  share: "공유", copyCommand: "명령으로 복사", copyPython: "파이썬으로 복사", saveTrace: "기록 저장", openTrace: "기록 열기", shareFile: "파일 하나로 공유",
  more: "복사와 공유", help: "키와 도움말", theme: "밝게 또는 어둡게", language: "English", close: "닫기", cancel: "취소",
  text: "글", steps: "단계", choices: "여기에 올 수 있는 것", tree: "나무", both: "나란히", stages: "처리기", sliders: "슬라이더",
  probability: "확률", surprisal: "놀라움", entropy: "엔트로피", rank: "순위", plain: "색 없이", colour: "색의 기준",
  write: "쓰기", writeHint: "프롬프트 뒤에 올 나만의 글. 확률이 어떻든 토큰 하나하나 읽습니다.", read: "읽기", readOn: "읽고 이어서",
  empty: "또는 실행을 누르고 지켜보거나, 하나를 골라 보세요.", otherTokens: "두 모델이 글을 서로 다른 토큰으로 자르므로 분포는 견주지 않고 글만 견줍니다.", try_greedy: "늘 가장 그럴듯한 토큰: 되풀이된다", try_beam: "빔 넷, 그리고 잘리는 것", try_nucleus: "표본 다섯을 한 나무로", try_exact: "가장 좋은 글과 그 증명", emptyTree: "글이 자라면 나무도 자랍니다.", emptyChoices: "글에서 토큰을 고르면 그 자리에 올 수 있던 것이 보입니다.",
  place: "자리", number: "#", token: "토큰", model_p: "모델", after_p: "처리 뒤", alternatives: "다른 후보", atEnd: "다음 토큰",
  all: "전체", before: "앞", after: "뒤", possible: "가능", effective: "선택지", effectiveChoices: "실효 선택지", mass: "통과", bits: "비트", cutBy: "자른 것", survives: "이러면 남음", chosen: "고름",
  force: "이 토큰을 고르고 이어서", forceShort: "고르기", texts: "글들", compareWith: "보이는 글과 견주기", best: "최선", likelihood: "로그 확률", perplexity: "퍼플렉서티", length: "토큰",
  pruned: "잘린 가지 보기", fit: "맞춤", zoomIn: "가까이", zoomOut: "멀리", collapse: "접기와 펼치기", nodes: "마디", ways: "갈래", proved: "증명",
  treeHint: "토큰을 누르면 그리로 갑니다. 잘린 것을 누르면 고릅니다. Shift와 함께 누르면 접습니다.", kept: "남음", finished: "끝남", prunedNode: "잘림", score: "점수", why: "이유",
  draw100: "100번 뽑기", useSliders: "디코더로 쓰기", resetSliders: "처음으로", sliderNote: "모델의 로짓으로 브라우저에서 바로 계산합니다.", drawn: "100번 중",
  second: "다른 디코더", secondModel: "다른 모델", runBoth: "둘 다 실행", overText: "이 글 위에서", divergence: "KL(A‖B)", backDivergence: "KL(B‖A)", overlap: "겹침", parts: "갈라지는 토큰", same: "아직은 같습니다.",
  bothHint: "같은 프롬프트에서 두 디코더나 두 모델: 글이 어디서 갈라지고, 토큰마다 분포가 얼마나 다른지 봅니다.", meanOverlap: "평균 겹침", shared: "같음", infinite: "∞: 한쪽이 허용하는 것을 다른 쪽이 금합니다",
  running: "만드는 중", ended: "끝", stopped: "멈춤", gone: "서버가 답하지 않습니다. unspool lab이 아직 실행 중인가요? 보이는 것은 그대로 있습니다.", badTrace: "unspool이 쓴 기록 파일이 아닙니다.",
  copied: "복사했습니다", noClipboard: "브라우저가 복사를 막았습니다. 여기 있습니다:", shared_ro: "저장된 기록입니다. 모두 볼 수 있고, 이어서 만들려면 unspool lab에서 여세요.",
  undone: "되돌렸습니다", redone: "다시 했습니다", nothingUndo: "되돌릴 것이 없습니다", when: "쓸 때", formula: "식", range: "범위", defaultIs: "기본값", earlier: "앞으로", later: "뒤로", remove: "빼기", noParameters: "설정이 없습니다.",
  compareTexts: "두 글", a: "A", b: "B", common: "같음", work: "한 일", skipLink: "글로 가기", views: "보기", expand: "자세히",
  lessons: "수업", lessonBack: "뒤로", lessonNext: "다음", lessonSkip: "건너뛰기", lessonEnd: "수업 마치기", lessonAfter: "다음 수업", lessonLeave: "수업 나가기. 글은 그대로 있고 설정은 원래대로 돌아옵니다", lessonWhere: "어디인지 보기", lessonTask: "해 보세요.", emptyLessons: "아직 만든 글이 없습니다. 디코딩을 한 걸음씩 배워 보세요:",
  bounds: "두 기록에 있는 토큰만으로 계산했습니다. KL은 적어도, 겹침은 많아야 이만큼입니다.", earlierTokens: "앞의 토큰", laterTokens: "뒤의 토큰",
};
export const KEYS = [
  ["Ctrl Enter", "Run", "실행"],
  ["Esc", "Stop; close a window", "멈춤, 창 닫기"],
  ["← →  h l", "Walk along the text", "글을 따라 걷기"],
  ["↑ ↓  k j", "Another token of the place", "그 자리의 다른 토큰"],
  ["Enter", "Take it and go on", "고르고 이어서"],
  ["1 … 9", "Take the first, second, … of them", "첫째, 둘째, … 고르기"],
  ["g", "Go on", "이어서"],
  ["r", "Draw again with the next seed", "다음 시드로 다시 뽑기"],
  ["u  Ctrl Z", "Undo", "되돌리기"],
  ["Ctrl Y", "Redo", "다시 하기"],
  ["w", "Write words of your own", "나만의 글 쓰기"],
  ["c", "Colour by the next measure", "다음 색 기준"],
  ["p  d", "To the prompt, to the decoder", "프롬프트로, 디코더로"],
  ["t  f  + −", "To the tree; fit, nearer, farther", "나무로, 맞춤, 가까이, 멀리"],
  ["Space", "Fold or unfold, in the tree", "나무에서 접기와 펼치기"],
  ["L", "Light or dark", "밝게 또는 어둡게"],
  ["?", "This help", "이 도움말"],
];
const REASONS = {
  end: "끝 토큰", complete: "다 됨", length: "길이", context: "문맥 끝", unfinished: "못 끝남", stop: "멈춤 글", loop: "되풀이", confidence: "확신", time: "시간", interrupted: "멈춤",
  followed: "따라감",
};

const FAMILIES = {
  shape: "분포의 모양", truncation: "자르기", feedback: "고른 것에 따라", repetition: "되풀이", constraint: "제약", length: "길이", contrast: "대조", watermark: "워터마크",
  part: "글의 일부에 두는 규칙", plumbing: "어댑터", search: "탐색", sampling: "표본 추출", choice: "글 전체에서 고르기", speed: "속도", stop: "멈춤",
};

let language = "en";

export function speak(which, element = document.documentElement) {
  language = which === "ko" ? "ko" : "en";
  element.lang = language;
}

export function spoken() {
  return language;
}

export function t(key) {
  return (language === "ko" ? KOREAN[key] : ENGLISH[key]) ?? ENGLISH[key] ?? key;
}

// How a digit, or a letter by its name, ends: with a consonant (true) or not.
const DIGITS = [true, true, false, true, false, false, true, true, true, false];
// The ends of Latin words that are known from their spelling; of others (cap, bed, the) they are not.
const CLOSED = /([lmn]|ng)$/;
const OPEN = /[aiouywrsfvxzjh]$/;

// Whether a word ends in a consonant as it is read in Korean: true, false, or null where that cannot be told.
export function endsClosed(word) {
  const last = word.replace(/[^\p{L}\p{N}%]+$/u, "").normalize("NFC");
  const end = last.at(-1) ?? "";
  if (end === "%") return false;                                       // 퍼센트
  if (/[가-힣]/.test(end)) return (end.codePointAt(0) - 0xac00) % 28 > 0;
  if (/[0-9]/.test(end)) return DIGITS[end];
  const latin = /[A-Za-z]+$/.exec(last)?.[0].toLowerCase() ?? "";
  if (latin.length === 1) return "lmnr".includes(latin);
  return CLOSED.test(latin) ? true : OPEN.test(latin) ? false : null;
}

// What follows a word, with the particle at its front, as 이(가) or 을(를), in the form that the word asks for.
export function particleAfter(word, text) {
  const closed = endsClosed(word);
  return closed === null ? text : text.replace(/^([가-힣])\(([가-힣])\)/, closed ? "$1" : "$2");
}

export function reasonWord(reason) {
  return language === "ko" ? REASONS[reason] ?? reason : reason;
}

export function familyWord(family, title) {
  return language === "ko" ? FAMILIES[family] ?? title : title;
}

export function missingWords() {
  return Object.keys(ENGLISH).filter((key) => !(key in KOREAN)).concat(Object.keys(KOREAN).filter((key) => !(key in ENGLISH)));
}

export function percent(p) {
  if (p === null || p === undefined || Number.isNaN(p)) return "";
  if (p === 0) return "0 %";
  return p >= 0.1 ? `${(100 * p).toFixed(1)} %` : p >= 0.0001 ? `${(100 * p).toFixed(2)} %` : "< 0.01 %";
}

export function fixed(value, digits = 2) {
  return value === null || value === undefined || !Number.isFinite(value) ? "−∞" : value.toFixed(digits).replace("-", "−");
}
