"""Amounts of money, with their signs on either side and with a rate."""

from tests.support.readings import reading_test

READINGS = {
    "45 zł and 12,50 zł": "forty five zlotys and twelve zlotys fifty",
    "€1.000 or 2.500 €": "one thousand euros or two thousand, five hundred euros",
    "$100k-200k, £1.5m–£2m": (
        "one hundred thousand dollars to two hundred thousand dollars, "
        "one point five million pounds to two million pounds"
    ),
    "€3,20": "three euros twenty",
    "It costs €12.50.": "It costs twelve euros fifty.",
    "€1 and €1.05": "one euro and one euro and five cents",
    "27,50 € or 1.250,00 €": (
        "twenty seven euros fifty or one thousand, two hundred and fifty euros"
    ),
    "£20 and £0.99": "twenty pounds and ninety nine pence",
    "$0.02 or $.50": "two cents or fifty cents",
    "$1,234.567": "one thousand, two hundred and thirty four point five six seven dollars",
    "$10-15": "ten to fifteen dollars",
    "$5–$10 million": "five to ten million dollars",
    "€10-€20": "ten euros to twenty euros",
    "$5/month": "five dollars per month",
    "£10/wk or €3.50/kg": "ten pounds per week or three euros fifty per kilogram",
    "$0.5/hr": "fifty cents per hour",
    "¥30 b and ₹500": "thirty billion yen and five hundred rupees",
    "₽100, ₺20, ₿2": "one hundred rubles, twenty liras, two bitcoins",
    "100 USD, EUR 50, 3 CHF": "one hundred US dollars, fifty euros, three Swiss francs",
    "$5-$10, $HOME": "five dollars to ten dollars, dollar home",
    "$HOME and test$": "dollar home and test dollar",
    "4,99 EUR or GBP 3.50": "four euros ninety nine or three pounds fifty",
    "CHF 20.50, CHF 1.05": "twenty Swiss francs fifty, one Swiss franc and five cents",
    "$5 USD, $3 million CAD": "five US dollars, three million Canadian dollars",
    "A$20, HK$1.5 million": "twenty Australian dollars, one point five million Hong Kong dollars",
    "US$76.3 trillion": "seventy six point three trillion US dollars",
    "$ 5.50": "five dollars fifty cents",
    "a $5-million deal": "a five million dollar deal",
    "R$50, Rs. 500, 100円": "fifty reais, five hundred rupees, one hundred yen",
    "1 DKK, 20 PLN": "one Danish krone, twenty zlotys",
}

test_it_is_read_like_the_spelled_out_text = reading_test(READINGS)
