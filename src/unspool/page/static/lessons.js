// The lessons: the chapter's steps as data. Each step says one thing, sets the page, points at what to look at, and may wait for the learner.
// do: what the page is set to, by the names of `ACTIONS`; at: what is pointed at; wait: what the learner does, by the names of `DEEDS`;
// {name} stands for what the model says at the moment, by the names of `FACTS`; `unless` is said where the fact `when` is not so.

const PROMPT = "Once upon a time";
const LOOPING = "Once there was a";

export const LESSONS = [
  {
    id: "greedy", title: { en: "Greedy by hand", ko: "손으로 하는 그리디" },
    steps: [
      {
        do: [["run", { prompt: PROMPT, decoder: "greedy", count: 1 }], ["select", 0]], at: ".choicescard",
        en: "A language model does one thing: to every token it gives a probability of coming next. Here {first} is the likeliest, with {firstP}, then {second}, with {secondP}. The five likeliest share {five}; the rest is left for all others.",
        ko: "언어 모델이 하는 일은 하나입니다. 모든 토큰에 다음에 올 확률을 줍니다. 여기서는 {first}이(가) {firstP}로 가장 그럴듯하고, 다음은 {second}, {secondP}입니다. 상위 다섯이 {five}를 차지하고, 나머지를 다른 모든 토큰이 나눕니다.",
      },
      {
        at: "#choices", wait: "took",
        en: "Decoding is to choose a token, put it behind the others, and ask again. Be the decoder: click any of these tokens.",
        ko: "디코딩은 토큰을 하나 골라 뒤에 붙이고 다시 묻는 일입니다. 디코더가 되어 보세요. 아무 토큰이나 누르세요.",
        then: { en: "You took {taken}. The page asked again, and now the likeliest next is {first}.", ko: "{taken}을(를) 골랐습니다. 다시 물으니 이제 가장 그럴듯한 다음 토큰은 {first}입니다." },
      },
      {
        at: "#choices", wait: "tookOther",
        en: "Every row is a fork in the road. Take a token that is not the likeliest, and see how all that follows changes.",
        ko: "줄마다 갈림길입니다. 가장 그럴듯하지 않은 토큰을 골라, 뒤따르는 것이 어떻게 달라지는지 보세요.",
        then: { en: "{taken} had {takenP}. The text goes on from there; the other one stays in the tree, and Undo goes back.", ko: "{taken}의 확률은 {takenP} 였습니다. 글은 거기서 이어지고, 먼저 글은 나무에 남으며, 되돌리기로 돌아갑니다." },
      },
      {
        do: [["run", { prompt: PROMPT, decoder: "greedy", count: 12 }]], at: ".textcard",
        en: "Always the first row: that is greedy search. It needs no settings, and writes the same text every time. These {length} tokens have a log-probability of {sum} together: the sum of their logarithms.",
        ko: "늘 첫 줄을 고르는 것이 그리디 서치입니다. 설정이 없고 언제나 같은 글을 씁니다. 이 토큰 {length}개의 로그 확률은 합해서 {sum}입니다.",
      },
      {
        at: "#text", wait: "moved",
        en: "Look back along it: click a token of the text, or walk with the arrow keys.",
        ko: "글을 되돌아보세요. 글의 토큰을 누르거나 화살표 키로 걸어 보세요.",
        then: { en: "At this place {first} led with {firstP}, and {second} followed with {secondP}. The smaller the gap, the more was given up by never looking back.", ko: "이 자리에서는 {first}이(가) {firstP}로 앞섰고 {second}이(가) {secondP}로 뒤따랐습니다. 차이가 작을수록, 되돌아보지 않아 놓친 것이 많습니다." },
      },
    ],
  },
  {
    id: "loops", title: { en: "Why it loops", ko: "왜 되풀이되는가" },
    steps: [
      {
        do: [["run", { prompt: LOOPING, decoder: "greedy", count: 80 }], ["by", "plain"]], at: ".textcard", when: "loops",
        en: "The same greedy search, further. It repeats {loop}, {times} times in a row at the end, and would go on so for ever.",
        ko: "같은 그리디 서치를 더 길게 했습니다. 끝에서 {loop}을(를) 잇달아 {times}번 되풀이하고, 언제까지나 그럴 것입니다.",
        unless: { en: "The same greedy search, further. Most models repeat themselves by now; this one has not, on this prompt, within {length} tokens.", ko: "같은 그리디 서치를 더 길게 했습니다. 대부분의 모델은 여기쯤 되풀이합니다. 이 모델은 이 프롬프트에서 토큰 {length}개 안에서는 그러지 않았습니다." },
      },
      {
        do: [["by", "probability"], ["select", "end"]], at: ".textcard", when: "loops",
        en: "A model copies what it has read. In its first round a token of the loop had {roundFirst} on average, in the last {roundLast}: each round makes the next one likelier, and whoever always takes the likeliest never gets out.",
        ko: "모델은 읽은 것을 베낍니다. 첫 바퀴에서 토큰의 평균 확률은 {roundFirst}, 마지막 바퀴에서는 {roundLast} 였습니다. 한 바퀴마다 다음 바퀴가 더 그럴듯해지고, 늘 가장 그럴듯한 것을 고르면 나올 수 없습니다.",
        unless: { en: "A model copies what it has read: each repetition makes the next one likelier. Whoever always takes the likeliest token has no way out. Colours show how likely each token was.", ko: "모델은 읽은 것을 베낍니다. 되풀이할수록 다음 되풀이가 그럴듯해집니다. 늘 가장 그럴듯한 토큰을 고르면 나올 길이 없습니다. 색은 각 토큰의 확률입니다." },
      },
      {
        do: [["tab", "sliders"], ["sliders", {}], ["select", "end"]], at: ".slider:has(#s-repetition_penalty)", wait: "penalised",
        en: "One cure is a rule. The repetition penalty lowers what has been written already. Move its slider, and watch the bars.",
        ko: "처방 하나는 규칙입니다. 반복 벌점은 이미 쓴 것을 낮춥니다. 슬라이더를 움직이며 막대를 보세요.",
        then: { en: "{leader} leads now, with {leaderP}; before it was {first}, with {firstP}.", ko: "이제 {leader}이(가) {leaderP}로 앞섭니다. 전에는 {first}, {firstP} 였습니다." },
      },
      {
        do: [["tab", "stages"], ["run", { prompt: LOOPING, decoder: "no_repeat_ngram(3) | greedy", count: 60 }], ["select", "cut"]], at: ".textcard",
        en: "A harder rule: no three tokens may come twice. Now greedy search cannot circle. A rule treats the sign, though; the text is still the likeliest at every step.",
        ko: "더 단단한 규칙: 같은 토큰 셋이 두 번 나올 수 없습니다. 이제 맴돌 수 없습니다. 하지만 규칙은 증상만 다룹니다. 글은 여전히 매 자리에서 가장 그럴듯한 것입니다.",
      },
      {
        do: [["run", { prompt: LOOPING, decoder: "temperature(0.8) | top_p(0.9) | sample", count: 60 }]], at: ".textcard",
        en: "The other cure is not to take the likeliest every time, but to draw. How, the lessons on sampling and on the nucleus show.",
        ko: "다른 처방은 늘 가장 그럴듯한 것 대신 뽑는 것입니다. 어떻게 뽑는지는 표본 추출과 뉴클리어스 수업에서 봅니다.",
      },
    ],
  },
  {
    id: "beams", title: { en: "Beams", ko: "빔" },
    steps: [
      {
        do: [["run", { prompt: PROMPT, decoder: "greedy", count: 12 }]], at: ".textcard",
        en: "Greedy search takes the best token, not the best text. Its {length} tokens have a log-probability of {sum}. Is there a text of this length that the model holds for likelier?",
        ko: "그리디 서치는 가장 좋은 글이 아니라 가장 좋은 토큰을 고릅니다. 토큰 {length}개의 로그 확률은 {sum}입니다. 같은 길이에 모델이 더 그럴듯하다고 보는 글이 있을까요?",
      },
      {
        do: [["run", { prompt: PROMPT, decoder: "beam(4, n=4)", count: 12, beside: true }]], at: ".treecard",
        en: "Beam search keeps the four best texts at every step, and drops the rest. The tree shows what it kept and what it pruned: {pruned} candidates here.",
        ko: "빔 서치는 매 단계 가장 좋은 글 넷을 남기고 나머지를 버립니다. 나무에 남은 것과 잘린 것이 보입니다. 여기서 잘린 후보는 {pruned}개입니다.",
      },
      {
        at: ".textcard", when: "gained",
        en: "Its best text has {sum}, greedy's {before}: it gave up a better token early for better ones later.",
        ko: "빔의 가장 좋은 글은 {sum}, 그리디의 글은 {before}입니다. 앞에서 더 나은 토큰을 내주고 뒤에서 더 나은 것을 얻었습니다.",
        unless: { en: "Its best text has {sum}, greedy's {before}: here the wider search found nothing better. It often does.", ko: "빔의 가장 좋은 글은 {sum}, 그리디의 글은 {before}입니다. 여기서는 더 넓게 찾아도 더 나은 글이 없었습니다. 있을 때가 많습니다." },
      },
      {
        at: ".textscard", wait: "otherText",
        en: "All its texts are in this list, with their log-probabilities. Open another one.",
        ko: "찾은 글이 모두 로그 확률과 함께 이 목록에 있습니다. 다른 글을 열어 보세요.",
        then: { en: "This one has {sum}. Texts of one beam are much alike: they part late. Four samples would not be.", ko: "이 글은 {sum}입니다. 한 빔의 글은 서로 닮았습니다. 늦게야 갈라집니다. 표본 넷이라면 다를 것입니다." },
      },
      {
        do: [["run", { prompt: PROMPT, decoder: "beam(4)", count: 60 }], ["by", "probability"]], at: ".textcard", when: "loops",
        en: "A better search does not make a better story. At {length} tokens the beam repeats {loop}, {times} times: likely texts are dull ones. Beams are for answers that are nearly given: a translation, a sum, a name.",
        ko: "더 잘 찾는다고 더 좋은 이야기가 되지는 않습니다. 토큰 {length}개에서 빔은 {loop}을(를) {times}번 되풀이합니다. 그럴듯한 글은 따분합니다. 빔은 답이 거의 정해진 일에 씁니다: 번역, 계산, 이름.",
        unless: { en: "A better search does not make a better story: likely texts are dull ones. Beams are for answers that are nearly given: a translation, a sum, a name.", ko: "더 잘 찾는다고 더 좋은 이야기가 되지는 않습니다. 그럴듯한 글은 따분합니다. 빔은 답이 거의 정해진 일에 씁니다: 번역, 계산, 이름." },
      },
    ],
  },
  {
    id: "sampling", title: { en: "Sampling", ko: "표본 추출" },
    steps: [
      {
        do: [["run", { prompt: PROMPT, decoder: "sample", count: 40 }], ["by", "probability"]], at: ".textcard",
        en: "Sampling draws the next token: one with 5 % comes five times in a hundred. This text took the likeliest token at {tops} of its {length} places.",
        ko: "표본 추출은 다음 토큰을 뽑습니다. 확률이 5 % 인 토큰은 백 번에 다섯 번 나옵니다. 이 글이 가장 그럴듯한 토큰을 고른 곳은 {length}자리 가운데 {tops}자리입니다.",
      },
      {
        at: "#again", wait: "ran",
        en: "The draws follow from the seed, so a text can be written again. Press Again for the next seed.",
        ko: "뽑기는 시드로 정해지므로 같은 글을 다시 쓸 수 있습니다. 다시를 눌러 다음 시드로 뽑으세요.",
        then: { en: "Seed {seed}, and another text. Both are in the tree.", ko: "시드 {seed}, 다른 글입니다. 둘 다 나무에 있습니다." },
      },
      {
        do: [["select", "unlikely"]], at: ".choicescard",
        en: "The weakness: unlikely tokens are many, and together they are drawn often. At this place {own} was drawn, which had {ownP}; {first} had {firstP}. One such token, and the text goes on from there.",
        ko: "약점: 그럴듯하지 않은 토큰은 많아서, 모으면 자주 뽑힙니다. 이 자리에서 {own}이(가) 뽑혔는데 확률은 {ownP} 였습니다. {first}은(는) {firstP} 였습니다. 그런 토큰 하나면 글은 거기서부터 이어집니다.",
      },
      {
        do: [["tab", "sliders"], ["sliders", {}]], at: ".slider:has(#s-temperature)", wait: "heated",
        en: "Temperature divides the logits: below 1 the likely get likelier, above 1 all come nearer. Move its slider.",
        ko: "온도는 로짓을 나눕니다. 1보다 낮으면 그럴듯한 것이 더 그럴듯해지고, 높으면 모두 가까워집니다. 슬라이더를 움직이세요.",
        then: { en: "At {temperature} the likeliest has {leaderP}, and it is as if there were {effective} tokens to choose from, all alike.", ko: "{temperature}에서 가장 그럴듯한 것이 {leaderP}이고, 똑같은 토큰 {effective}개에서 고르는 셈입니다." },
      },
      {
        do: [["tab", "stages"], ["run", { prompt: PROMPT, decoder: "temperature(0.8) | sample(6)", count: 20 }]], at: ".treecard",
        en: "Six texts at temperature 0.8, as one tree: {distinct} of them differ. Where many draws go one way, the model is sure.",
        ko: "온도 0.8의 글 여섯을 한 나무로 보였습니다. 서로 다른 글은 {distinct}개입니다. 여럿이 한 길로 가는 곳에서 모델은 확신합니다.",
      },
    ],
  },
  {
    id: "nucleus", title: { en: "The nucleus", ko: "뉴클리어스" },
    steps: [
      {
        do: [["run", { prompt: PROMPT, decoder: "sample", count: 30 }], ["by", "entropy"], ["tab", "sliders"], ["sliders", {}], ["select", "flattest"]], at: ".slider:has(#s-top_k)", wait: "topK",
        en: "So cut the tail. Top-k keeps the k likeliest tokens. This is the flattest place of the text: it is as if {effective} tokens were alike. Move top_k to 40 or less.",
        ko: "그러니 꼬리를 자릅니다. top-k는 가장 그럴듯한 k개를 남깁니다. 여기는 이 글에서 가장 평평한 자리로, 똑같은 토큰 {effective}개가 있는 셈입니다. top_k를 40 이하로 옮기세요.",
        then: { en: "{kept} are left, and they hold {passed} of the probability. All other tokens cannot come.", ko: "{kept}개가 남았고 확률의 {passed}를 차지합니다. 다른 토큰은 나올 수 없습니다." },
      },
      {
        do: [["slid", { top_k: 40 }], ["select", "sharpest"]], at: ".choicescard",
        en: "The same k at the sharpest place. {first} alone has {firstP}, and still {kept} are kept: too few there, too many here.",
        ko: "가장 뾰족한 자리에서 같은 k입니다. {first} 혼자 {firstP}인데도 {kept}개가 남습니다. 저기서는 너무 적고 여기서는 너무 많습니다.",
      },
      {
        do: [["sliders", {}], ["select", "flattest"]], at: ".slider:has(#s-top_p)", wait: "topP",
        en: "Top-p, the nucleus, keeps the fewest likeliest tokens that hold a share p of the probability. Back at the flat place: move top_p to 0.9 or below.",
        ko: "top-p, 곧 뉴클리어스는 확률의 p를 채우는 가장 적은 토큰을 남깁니다. 평평한 자리로 돌아왔습니다. top_p를 0.9 이하로 옮기세요.",
        then: { en: "{kept} tokens are left, for it takes that many to hold {passed}.", ko: "{kept}개가 남았습니다. {passed}를 채우는 데 그만큼 듭니다." },
      },
      {
        do: [["slid", { top_p: 0.9 }], ["select", "sharpest"]], at: ".choicescard",
        en: "The same p at the sharp place keeps {kept}. The nucleus breathes with the model: wide where much is possible, narrow where it is sure.",
        ko: "뾰족한 자리에서 같은 p는 {kept}개를 남깁니다. 뉴클리어스는 모델과 함께 숨 쉽니다. 여러 가지가 가능한 곳에서는 넓고 확신하는 곳에서는 좁습니다.",
      },
      {
        do: [["slid", { top_p: 0.9 }]], at: "#use-sliders", wait: "decoderChanged",
        en: "Write the settings down as a decoder: press “Use as decoder”.",
        ko: "설정을 디코더로 옮겨 적습니다. “디코더로 쓰기”를 누르세요.",
        then: { en: "Now every token is drawn from its nucleus. Run it whenever you like.", ko: "이제 모든 토큰을 뉴클리어스에서 뽑습니다. 언제든 실행해 보세요." },
      },
    ],
  },
  {
    id: "choosing", title: { en: "Which, when", ko: "무엇을 언제" },
    steps: [
      {
        do: [["tab", "stages"], ["run", { prompt: "The king and the", decoder: "beam(4)", count: 6 }]], at: ".textcard",
        en: "Is there one right answer, a sum, a name, a translation? Then search: greedy, or a beam. Two settings fewer, and the same text every time.",
        ko: "맞는 답이 하나인가요? 계산, 이름, 번역이라면 탐색합니다: 그리디나 빔. 설정할 것이 적고 언제나 같은 글입니다.",
      },
      {
        do: [["run", { prompt: PROMPT, decoder: "temperature(0.8) | top_p(0.9) | sample(3)", count: 24 }]], at: ".textcard",
        en: "Are there many good ones, a story, a conversation? Then draw, from a nucleus, a little colder than the model: temperature 0.7 to 1 and top_p 0.9 to 0.95 are a beginning.",
        ko: "좋은 답이 여럿인가요? 이야기나 대화라면 모델보다 조금 차갑게, 뉴클리어스에서 뽑습니다. 온도 0.7에서 1, top_p 0.9에서 0.95로 시작하세요.",
      },
      {
        at: "#page-both", wait: "both",
        en: "And look at two decoders over one text before you settle: open Side by side.",
        ko: "정하기 전에 두 디코더를 한 글 위에서 보세요. 나란히를 여세요.",
        then: { en: "Choose two decoders and press Run both. Overlap says how much probability they share at every token.", ko: "디코더 둘을 고르고 둘 다 실행을 누르세요. 겹침은 토큰마다 둘이 나누어 갖는 확률입니다." },
      },
    ],
  },
];
