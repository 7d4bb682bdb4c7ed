"""Dialects of markup, and texts with markup together with what is spoken of them."""

from itertools import pairwise

from orpheus_server.text.markdown.construct_reader import Dialect
from orpheus_server.text.markdown.stream import MarkdownToSpeech

TAGS = frozenset({"laugh", "sigh", "작은 웃음", "long_sigh"})
CHAT = Dialect(TAGS, is_chat=True)
TEXT = Dialect(TAGS)

PROSE = [
    "Dr. Smith paid 3.50 for 2 apples, e.g. red ones. She smiled.",
    "It is 5 < 6, 7 > 3 and AT&T & co.; really?! Yes... (no)",
    "In C# and C++ it costs $5 or €3.20, i.e. 20 % at ~5 °C.",
    "It grew from $5 to $10. Call 555-1234 at 10:30 a.m. - or don't.",
    'He said: "Stop it, please!" — and left; it\'s 1/2 past #1.',
    "Write to anna@example.com or see node.js [sic] and a[i] (see below).",
    "Two  spaces and\ta tab stay.",
    # These were once treated as markup, and the words in them were lost.
    "If a<b and b>c, or a <b and i> d, then x<y.",
    "The list [1, 2, 3] has a[0] and a[1], which lie in [0, 10] or [1-3].",
    "So arr[i][j] calls handlers[name](event) and rows[i](x).",
    "Adobe XD is a tool, and 5$-6$ is a price.",
    "Then he said <think> and walked away, x <em and y> z, and <code and so> on.",
    "Press <enter>, use List<String> or Map<K, V>, and pay >5 $ at C:\\Users\\me\\to\\it.",
    "One line\nand the next of it.\n\nA new paragraph.",
    "Il a dit « Bravo ! » et c'est tout : 3,5 % d'entre eux. Ça va ?",
    "Er sagte: „Am 24. Dezember, z. B. um 8 Uhr!“ – und ging.",
    "¿Cómo está usted, Sr. Gil? ¡Bien! L'hai già visto, però?",
    "안녕하세요. 오늘은 날씨가 좋네요! (정말로요) 3.5도입니다.",
    "वह आया। नमस्ते, कैसे हैं आप? क्\u200dष और क\u094dष।",
    "今天天气好。「我们去公园」，你好吗？【重要】二○二四年……好的！",
    "كيف حالك؟ أنا بخير، شكرا. می\u200cخواهم",
    "Привет! Как дела? Это «пример»: №5 и §3.",
]

# Chat models mean something else by these.
UNCHANGED_TEXT = [
    "It says so [1], and again [2, 3], and [4][5].",
    "The file is :memory: and the tag :name: too; XD is a company, x <3 a test.",
    "So 5*3*2, 5 * 3, a*b*c, 2*x, n*(n+1), width * height and 2**10 are products.",
    "As are 2*pi*r, width*height*depth, (a)*(b), 10 % * 2 and 5 € * 3.",
    "Call snake_case and get_user_id() or file_name_2.txt.",
    "Really?!! No!!! Well..... yes.",
]

MARKUP = [
    # Headings end as sentences.
    ("# Title\nText here.", "Title.\nText here."),
    ("###### Deep #5 ##\n\nText", "Deep #5.\n\nText"),
    ("## What now?\nWe go.", "What now?\nWe go."),
    ("Title\n=====\nText", "Title.\nText"),
    ("Title\r\n---\r\nText", "Title.\nText"),
    ("#hashtag is no heading", "#hashtag is no heading"),
    ("# 标题\n正文", "标题。\n正文"),
    # Lists: short items are enumerated, longer ones become sentences.
    ("- milk\n- bread\n- eggs\n\nDone.", "milk,\nbread,\neggs.\n\nDone."),
    ("You need\n* flour\n* **sugar**", "You need,\nflour,\nsugar."),
    ("+ one\n+ two", "one,\ntwo."),
    ("• one\n•two\n◦ three (or so)", "one,\ntwo,\nthree (or so)."),
    (
        "- an item that goes on\n  in the next line\n- b",
        "an item that goes on\n  in the next line,\nb.",
    ),
    (
        "- this is an item which is much too long to be enumerated\n- b",
        "this is an item which is much too long to be enumerated.\nb.",
    ),
    ("1. Mix it\n2. Bake at 3.5 bar\n10) Eat", "1. Mix it.\n2. Bake at 3.5 bar.\n10. Eat."),
    ("1. Fruit\n   - apples\n   - pears\n2. Cake", "1. Fruit,\napples,\npears.\n2. Cake."),
    ("- Dinner: rice\n- Tea, cake\n- Bed", "Dinner: rice.\nTea, cake.\nBed."),
    ("a) one\nb) two", "a) one,\nb) two."),
    ("- [x] done\n- [ ] open\n1. [X] yes", "done,\nopen.\n1. yes."),
    ("1\\. It was so", "1. It was so"),
    ("-5 degrees and -x", "-5 degrees and -x"),
    ("On the list: * milk * bread", "On the list: milk, bread"),
    # Quotes.
    ("> quoted *text*\n> and more\n\nNo", "quoted text\nand more\n\nNo"),
    ("> > - deep\n> > - down", "deep,\ndown."),
    ("> [!NOTE]\n> Mind this.", "NOTE\nMind this."),
    (">90 % pass.\n>= 5 too", ">90 % pass.\n>= 5 too"),
    # Comparisons; a line below a quoted one is quoted, too.
    ("> 90 % pass\n> 80 % fail", "> 90 % pass\n> 80 % fail"),
    ("- > 5 kg\n- > 100 MB/s", "> 5 kg,\n> 100 MB/s."),
    ("> 90 people came\n> 90 % of them left", "90 people came\n90 % of them left"),
    ("> 1. Mix\n> 2. Bake", "1. Mix.\n2. Bake."),
    # Emphasis, and marks that are not emphasis.
    ("**bold**, *it*, ***both*** and ~~no~~", "bold, it, both and no"),
    ("__bold__, _it_, __init__, snake_case_name", "bold, it, init, snake case name"),
    ("half**bold**word, He*ll*o", "halfboldword, Hello"),
    ("**你好**。*world*!", "你好。world!"),
    ("** glitch ** here", "glitch here"),
    ("5 * 3 is 5*3, a * b, box * 2, (2) * (3)", "5 × 3 is 5×3, a × b, box × 2, (2) × (3)"),
    ("2**3 and ~5 and ~/bin", "2 3 and ~5 and ~/bin"),
    # The factors of a product once became one word.
    ("2*x is a*b*c or n*(n+1)", "2×x is a×b×c or n×(n+1)"),
    ("2*pi*r and 10 % * 2, *a*b and **c**d", "2×pi×r and 10 % × 2, ab and cd"),
    ("$5 * $3 and *I*, *a* b", "$5 × $3 and I, a b"),
    ("**<laugh>** _<sigh>_ <long_sigh> `<laugh>`", "<laugh> <sigh> <long_sigh> <laugh>"),
    # Code: inline code is spoken, a block is not.
    ("use `foo_bar` and ``x`` now", "use foo bar and x now"),
    ("it is `row[1]` here, a fact[1]", "it is row[1] here, a fact"),
    ("the `<div>` and it`s", "the div and it's"),
    ("Code:\n```python\nprint(1)\n\n# no\n```\nAfter", "Code:\n\nAfter"),
    ("Code\n~~~\nx\n```\n ~~~~ \nAfter", "Code\n\nAfter"),
    ("1. Do:\n   ```sh\n   rm x\n   ```\n2. Go", "1. Do:\n\n2. Go."),
    ("> ```\n> x\n> ```\n> After", "After"),
    ("Well\n```py\nnever closed", "Well\n\n"),
    ("```one``` line", "one line"),
    ("```py title='a b'\nx\n```\nYes", "Yes"),
    ("So: ```py \nx = 1```\nYes", "So:\n\nYes"),
    ("````md\n```\nx\n```\n````\nYes", "Yes"),
    # Links, images, footnotes.
    ('see [the *docs*](https://a.com/x_(y) "T (t)") now', "see the docs now"),
    ("[text][1], [text][] and [a [b] c](d)", "text, text and a [b] c"),
    ("![a cat](cat.png) [![badge](b.svg)](c)", "a cat badge"),
    ("so ![](x.png) it is![1]", "so it is!"),
    ("A fact [^1]. Another[2][3]. Third【4†source】.", "A fact. Another. Third."),
    ("[1]: https://x.com 'T'\n[^a]: A note.", "A note."),
    ("[sic], [read this](or not), a[i", "[sic], [read this](or not), a[i"),
    ("un[believable](https://a.com)[1]", "unbelievable"),
    ("[long](https://a.com/" + "x" * 500 + ") now", "long now"),
    ("[cut](https://a.com", "cut"),
    # Addresses.
    ("at https://www.example.com/a/b?x=1.", "at example.com."),
    ("(see http://a.b.org), or www.foo.org/x!", "(see a.b.org), or foo.org!"),
    ("**https://a.com/x_y** http://localhost:8000/docs", "a.com localhost"),
    ("<https://a.com/b> <anna@b.com> mailto:c@d.com", "a.com anna@b.com c@d.com"),
    ("ftp://a.com/b and 请看https://a.com/b。谢谢", "a.com and 请看a.com。谢谢"),
    ("https://a.com에서 봐요", "a.com에서 봐요"),
    ("https://a.com/" + "x.y," * 400 + "z, and on", "a.com, and on"),
    ("see http://user:pw@host.com/x now", "see host.com now"),
    ("postgres://bob:s3cret@db.example.com:5432/app?x=1, ok", "postgres db.example.com, ok"),
    (
        "redis://:secret@localhost:6379/0 mongodb+srv://u:p%40s@a.net",
        "redis localhost mongodb+srv a.net",
    ),
    ("`ftp://anna:p@ss@a.org` <HTTPS://bob@b.com/>", "a.org b.com"),
    ("file:///tmp/x and C://Users and a://b", "file:///tmp/x and C://Users and a://b"),
    # Tables.
    (
        "| A | B |\n|---|:-:|\n| 1 | yes. |\n| 2 | |\n\nText",
        "A, B.\n1, yes.\n2.\n\nText",
    ),
    ("A | B\n--- | ---\n1 | 2", "A, B.\n1, 2"),
    ("|苹果|梨|\n|a|", "苹果，梨。\na."),
    ("a || b", "a || b"),
    # Rules.
    ("One.\n\n---\n\nTwo.", "One.\n\nTwo."),
    ("* * *\n___\nTwo --- three", "Two — three"),
    ("One.\n\n~~~\n\nTwo.\n~~~~\n\nThree.", "One.\n\nTwo.\n\nThree."),
    # Formulas.
    ("So $x^2 + y_1 = \\alpha$ costs $5.", "So x² + y 1 = alpha costs $5."),
    ("\\(a \\times b\\) and $$c \\leq d$$", "a × b and c ≤ d"),
    ("\\[ \\frac{1}{2} \\pi r^{2} \\to \\text{all} \\]", "1/2 pi r², all"),
    ("It is $5/month or $5-$10, $HOME and $PATH", "It is $5/month or $5-$10, $HOME and $PATH"),
    ("\\begin{aligned}x\\end{aligned}", "x"),
    ("It is $5 or 6$, and $7; or 8$", "It is $5 or 6$, and $7; or 8$"),
    ("$$\na = 1 \\\\\nb\\,c = 2\\%\n$$", "a = 1.\nb c = 2%"),
    ("2\\times 3 in C:\\text\\new", "2× 3 in C:\\text\\new"),
    # HTML.
    ("one<br>two<br/>three", "one\ntwo\nthree"),
    ("<p>One</p><p>Two</p><ul><li>a</li><li>b</li></ul>", "One\n\nTwo\n\na,\nb."),
    ("<b class='x'>bold</b> H<sub>2</sub>O", "bold H2O"),
    ("| a<br>b | c |", "a, b, c."),
    ("no <!-- secret\n\nnote --> more", "no more"),
    ("<think>\nLet me see.\n</think>\n\n# Hello", "Hello."),
    ("<THINK>\nLet me see.\n</Think>\n\nHello", "Hello"),
    ("So <Think>hm</think> it is. <thinking>x</THINKING> Yes.", "So it is. Yes."),
    ("One.\n<think>\nx\n</think>\nTwo.", "One.\n\nTwo."),
    ("One.\n<think>\nTwo.", "One.\n<think>\nTwo."),
    ("<think>a</think> <think>b", ""),
    ("# <think>a", ""),
    ("Yes.</think> No.", "Yes. No."),
    ("So:<PRE class='a'>\n<code>x = 1 < 2</code></pre>Yes", "So: Yes"),
    ("<pre><code>never closed", "never closed"),
    ("<script src='x'>let a = 1 < 2;</SCRIPT>A <style>p {}</style>b", "A b"),
    ("A <style> of its own and a <script>", "A <style> of its own and a <script>"),
    ("<!DOCTYPE html><?xml version='1.0'?><html><body>Hi</body></html>", "Hi"),
    ("20<sup>th</sup> of x<sup>n</sup> un<b>believ</b>able", "20th of xn unbelievable"),
    ("m<sup>2</sup>, 10<sup>-3</sup>, s<sup>−1</sup>, 2<sup>10</sup>", "m², 10⁻³, s⁻¹, 2¹⁰"),
    ("<img src='a.png' alt='a &lt; b'> <img src=x>", "a < b"),
    ('Wait <break time="1s"/> now <prosody rate="slow">slow</prosody>', "Wait, now slow"),
    ('<x:y z="1">one</x:y> <foo/> two</foo>', "one two"),
    ('<laugh> <laugh a="b"> </laugh> <Happy/>', "<laugh> </laugh> <Happy/>"),
    ('<a href="https://a.com/' + "x" * 400 + '">here</a>', "here"),
    ("<a\n  href='https://a.com'>here</a>", "here"),
    ("<table><tr><td>A</td><td>B</td></tr><tr><td>1</td></tr></table>", "A, B.\n\n1.\n\n"),
    ("<thinking>x</thinking>Yes, a <think> or `<!--`", "Yes, a <think> or <!--"),
    ("<happy> <enter> <|eot_id|> <custom_token_5>", "<happy> <enter> <|eot_id|> <custom_token_5>"),
    ("a &amp; b&nbsp;&lt; c &#39;d&#x27; &none; &zwj;", "a & b < c 'd' &none;"),
    ("it&amp;#39;s &AMP;amp; so&amp;nbsp;on; R&D; AT&T;", "it's & so on; R&D; AT&T;"),
    ("A &rarr; B &#128512;!", "A, B!"),
    # Words broken by the layout.
    ("the nega-\ntive and phos- \r\n  phorus", "the negative and phosphorus"),
    (
        "a well-\nknown, state-of-\nthe-art Anglo-\nAmerican",
        "a well-known, state-of-the-art Anglo-American",
    ),
    ("nega\xad\ntive and COVID-\n19", "negative and COVID-19"),
    ("> nega-\n> tive\n> one", "negative\none"),
    ("short-\nand long-term -\nso", "short-\nand long-term -\nso"),
    # Escapes.
    ("\\*not bold\\* snake\\_case 5 \\* 3 \\[x\\]", "*not bold* snake case 5 × 3 x"),
    ("a\\\nb", "a\nb"),
    # Emoji leave no gap before punctuation, and words stay apart.
    ("Great 🎉! Yes 👨\u200d👩\u200d👧, so🎉now", "Great! Yes, so now"),
    ("Done.🎉Next (😀 one) 😀", "Done. Next (one)"),
    ("👍🏽 🇩🇪🇫🇷 🏳️\u200d🌈 ❤️ ☎️ ℹ️ ok ©️ ♯", "ok © ♯."),
    ("1️⃣ First\n2️⃣ Second 3️⃣", "1. First.\n2. Second."),
    ("✅ Fast\n❌ slow", "Fast,\nslow."),
    ("Super 🎉 !\n\n🎉\n\nJa", "Super!\n\nJa"),
    ("你好😀世界", "你好世界"),
    # Arrows become a pause.
    ("A → B, a -> b => c ➡️ d", "A, B, a, b, c, d"),
    ("→ next\n→ last", "next,\nlast."),
    ("你好 → 世界", "你好，世界"),
    # Emoticons and names of emoji.
    ("Ha =) Hi :-) there ;) you :D. And XD!", "Ha Hi there you. And!"),
    ("I <3 it :smile: at 10:30:45 ^^", "I it at 10:30:45"),
    # Repeated marks.
    ("No!!! What?!?! Well..... so…", "No! What?! Well... so…"),
    ("what⁉️ no‼️ 真的！！！", "what? no! 真的！"),
]


def feed_all(deltas: list[str], dialect: Dialect = CHAT) -> list[str]:
    """Returns the text after each delta, and after the flush."""
    stream = MarkdownToSpeech(dialect)
    return [*(stream.feed(delta) for delta in deltas), stream.flush()]


def cut(text: str, places: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(place for place in places if place < len(text))})
    return [text[start:end] for start, end in pairwise(edges)]
