"""Numbers with a unit, a rate or a percentage."""

from tests.support.readings import reading_test

READINGS = {
    "8 fl oz or 1 fl oz": "eight fluid ounces or one fluid ounce",
    "2,5 kg": "two point five kilograms",
    "10'000 people": "ten thousand people",
    "1'234'567": "one million, two hundred and thirty four thousand, five hundred and sixty seven",
    "10 000 km and 12,34,567": (
        "ten thousand kilometers and one million, two hundred and thirty four thousand, "
        "five hundred and sixty seven"
    ),
    "3,5 %": "three point five percent",
    "10 kΩ, 4.7 MΩ": "ten kiloohms, four point seven megaohms",
    "5.5kW and 100kWh": "five point five kilowatts and one hundred kilowatt hours",
    "120fps": "one hundred and twenty frames per second",
    "100 MB/s": "one hundred megabytes per second",
    "10 m/s, 9.8 m/s²": "ten meters per second, nine point eight meters per second squared",
    "12kg/kg": "twelve kilograms per kilogram",
    "3 mbps": "three megabits per second",
    "5 m², 2 m3, 8 km²": "five square meters, two cubic meters, eight square kilometers",
    "1200 kg/m³": "twelve hundred kilograms per cubic meter",
    "10⁻³ m": "ten to the minus three meters",
    "5 µm and 3 μs": "five micrometers and three microseconds",
    "12KG and 1 MB": "twelve kilograms and one megabyte",
    "100 million kg": "one hundred million kilograms",
    "½ kg and 2½ lbs": "one half kilogram and two and one half pounds",
    "6 ft 2 in tall": "six feet two inches tall",
    "1°C, 1°, 20 °C": "one degree Celsius, one degree, twenty degrees Celsius",
    "3 requests/s, 2/day": "three requests per second, two per day",
    "3.2bn people, 1.5M views": "three point two billion people, one point five million views",
    "1234 kg": "one thousand, two hundred and thirty four kilograms",
    "Turn left in 5 min. and stop": "Turn left in five minutes and stop",
    "10 sq. ft. each": "ten square feet each",
    "3 in x 5 in": "three inches by five inches",
    "3/4 in, 1/2 in": "three quarters inch, one half inch",
    "6'2\" tall": "six foot two inches tall",
    'a 27" monitor': "a twenty seven inch monitor",
    'a 12" pizza, the 7" single': "a twelve inch pizza, the seven inch single",
    '15" x 20" frames': "fifteen by twenty inches frames",
    'He said "there are 7" and "the 8" again': "He said there are seven and the eight again",
    'I know he had 7" she said': "I know he had seven she said",
    "45°N and 12° W": "forty five degrees north and twelve degrees west",
    "5cm x 10cm x 2cm": "five centimeters by ten centimeters by two centimeters",
    "30 mpg, 5 kgs": "thirty miles per gallon, five kilograms",
    "8 L/100 km": "eight liters per one hundred kilometers",
    "1.000.567,89": "one million, five hundred and sixty seven point eight nine",
}

test_it_is_read_like_the_spelled_out_text = reading_test(READINGS)
