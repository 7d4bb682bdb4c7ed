"""Signs of arithmetic, comparison and programming."""

from tests.support.readings import reading_test

READINGS = {
    "v4.0 and v12.10": "v four point zero and v twelve point one zero",
    "Scores > 90 pass.": "Scores greater than ninety pass.",
    "x<5 and y > z": "x less than five and y greater than z",
    "a != b": "a is not equal to b",
    "a == b && c >= 3": "a equals b and c at least three",
    "5*3 and 2 * 4": "five times three and two times four",
    "C++, C#": "C plus plus, C sharp",
    "F# and g++ and .NET": "F sharp and g plus plus and dot net",
    "x^2 + y^n": "x squared plus y to the n",
    "10^6 and 1e-5": "ten to the six and one times ten to the minus five",
    "1-4=5 and x = y - 2": "one minus four equals five and x equals y minus two",
    "it is -0.5 now": "it is minus zero point five now",
    "2.10, 3.00, .25": "two point one zero, three point zero zero, point two five",
    "5.0%": "five point zero percent",
    "a -> b": "a to b",
    "I <3 you": "I 3 you",
    "Open File > Settings.": "Open File Settings.",
    "5 / x": "five slash x",
    "He said <is> fine": "He said is fine",
    "*fine* and #tags": "fine and tags",
    "2*x, 2*pi*r": "two times x, two times pi times r",
    "n*(n+1)": "n times (n plus one)",
    "width*height": "width times height",
    "area = width * height": "area equals width times height",
    "f*ck, the *only* one": "f*ck, the *only* one",
    "C++17": "C plus plus seventeen",
    "1e6 users, 1.5E10": "one times ten to the six users, one point five times ten to the ten",
    "6.02×10²³": "six point zero two times ten to the twenty three",
    "6.02 x 10^23": "six point zero two times ten to the twenty three",
    "3 x 4 = 12": "three times four equals twelve",
    "a 3:2 ratio, a ratio of 16:9": "a three to two ratio, a ratio of sixteen to nine",
    "they won 3:2": "they won three to two",
    "it is 3:30": "it is three thirty",
    "test$$": "test dollar dollar",
}

test_it_is_read_like_the_spelled_out_text = reading_test(READINGS)
