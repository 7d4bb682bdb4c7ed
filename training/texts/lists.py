"""Names, places and other words that frames need and WordNet does not sort for them."""

FIRST_NAMES = (
    *("Aaron", "Alice", "Amir", "Amy", "Andrew", "Angela", "Anna", "Arthur", "Barbara", "Ben"),
    *("Bob", "Brian", "Carlos", "Carol", "Charlotte", "Chloe", "Claire", "Daniel", "David"),
    *("Deborah", "Diana", "Dylan", "Edward", "Eleanor", "Elena", "Emily", "Emma", "Eric", "Ethan"),
    *("Fatima", "Felix", "Fiona", "Frank", "George", "Grace", "Hannah", "Harry", "Helen", "Henry"),
    *("Ian", "Isaac", "Isabel", "Ivan", "Jack", "Jacob", "James", "Jane", "Jason", "Jenny"),
    *("Jess", "Joan", "John", "Joseph", "Julia", "Karen", "Kate", "Kenji", "Kevin", "Laura"),
    *("Leah", "Leo", "Liam", "Linda", "Lucas", "Lucy", "Maria", "Mark", "Martha", "Martin"),
    *("Maya", "Megan", "Mia", "Michael", "Miguel", "Nadia", "Nancy", "Nathan", "Nina", "Noah"),
    *("Nora", "Oliver", "Olivia", "Omar", "Oscar", "Patrick", "Paul", "Peter", "Priya", "Rachel"),
    *("Ralph", "Rebecca", "Richard", "Robert", "Rosa", "Ruth", "Sam", "Sarah", "Simon", "Sophie"),
    *("Stella", "Steven", "Susan", "Tara", "Theo", "Thomas", "Tom", "Vera", "Victor", "Wendy"),
    *("William", "Yuki", "Zac", "Zoe"),
)
SURNAMES = (
    *("Adams", "Allen", "Baker", "Bennett", "Brooks", "Brown", "Campbell", "Carter", "Chen"),
    *("Clark", "Collins", "Cooper", "Davis", "Edwards", "Evans", "Fisher", "Foster", "Garcia"),
    *("Gray", "Green", "Hall", "Harris", "Hughes", "Jackson", "Johnson", "Jones", "Kelly", "Khan"),
    *("King", "Lee", "Lewis", "Lopez", "Martin", "Miller", "Mitchell", "Moore", "Morgan"),
    *("Murphy", "Nelson", "Parker", "Patel", "Phillips", "Price", "Reed", "Roberts", "Robinson"),
    *("Russell", "Scott", "Shaw", "Simmons", "Smith", "Stewart", "Taylor", "Thompson", "Turner"),
    *("Walker", "Watson", "White", "Williams", "Wilson", "Wood", "Wright", "Young"),
)
TITLES = ("Mr.", "Mrs.", "Ms.", "Dr.", "Miss", "Professor")
CITIES = (
    *("Amsterdam", "Athens", "Atlanta", "Austin", "Baltimore", "Barcelona", "Berlin", "Boston"),
    *("Brussels", "Cairo", "Chicago", "Cleveland", "Copenhagen", "Dallas", "Denver", "Detroit"),
    *("Dublin", "Edinburgh", "Florence", "Geneva", "Houston", "Istanbul", "Kyoto", "Lisbon"),
    *("Liverpool", "London", "Madrid", "Manchester", "Melbourne", "Memphis", "Miami", "Milan"),
    *("Montreal", "Moscow", "Mumbai", "Munich", "Nashville", "New York", "Oslo", "Ottawa"),
    *("Oxford", "Paris", "Philadelphia", "Phoenix", "Portland", "Prague", "Rome", "San Diego"),
    *("San Francisco", "Seattle", "Singapore", "Stockholm", "Sydney", "Tokyo", "Toronto"),
    *("Vancouver", "Venice", "Vienna", "Warsaw", "Washington", "Zurich"),
)
STREETS = (
    *("Main Street", "Oak Street", "Park Avenue", "River Road", "Church Street", "Elm Street"),
    *("Maple Avenue", "Washington Street", "Lake Road", "Hill Street", "Broadway", "Mill Lane"),
    *("Station Road", "Garden Street", "Market Street", "Pine Street", "Sunset Boulevard"),
)
PLACES = (
    *("airport", "apartment", "attic", "bakery", "bank", "barn", "basement", "bathroom", "beach"),
    *("bedroom", "bookstore", "bridge", "bus station", "cafe", "castle", "cellar", "church"),
    *("cinema", "classroom", "clinic", "corner shop", "courthouse", "factory", "farm", "forest"),
    *("fountain", "garage", "garden", "gate", "gym", "hall", "harbor", "hospital", "hotel"),
    *("island", "kitchen", "laboratory", "lake", "library", "lighthouse", "lobby", "market"),
    *("mountain", "museum", "office", "opera house", "orchard", "park", "parking lot", "pharmacy"),
    *("playground", "pool", "post office", "restaurant", "river", "school", "shed", "stable"),
    *("stadium", "station", "supermarket", "swimming pool", "theater", "tower", "town hall"),
    *("university", "valley", "village", "warehouse", "waterfall", "workshop", "yard", "zoo"),
)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December"),
)
