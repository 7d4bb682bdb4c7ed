"""Words for the gaps of frames, chosen by hand among WordNet's common words.

WordNet sorts words by meaning, not by use: its articles of manufacture hold "wool" and "works", its
persons slurs, so that its own lists would make frames that read badly.
"""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


THINGS = _words(
    """
    accordion airplane ambulance anchor antenna apron armchair arrow axe bag ball balloon bandage
    banner barrel basket bathtub battery bell belt bench bicycle blanket boat book boot bottle
    bouquet bow bowl box bracelet brick briefcase broom brush bucket bus button cabinet cage
    calendar camera candle canoe carpet carriage cart castle chair chandelier chest chimney chisel
    clock closet coat collar comb compass computer cord costume couch cradle crib crown cup curtain
    cushion desk diamond diary dictionary dish doll door drawer dress drum easel elevator engine
    envelope fan fence filter fireplace flag flashlight flute fork frame garment gate glove guitar
    hammer handbag handkerchief handle hat headlight helmet hinge hook horn hose jacket jar jeep
    jewel journal keyboard key knapsack knife knob ladder lamp lantern lawnmower lens letter lever
    lock locket magazine magnet mailbox map mask match mattress medal microphone microscope mirror
    monument motor mug necklace needle net newspaper notebook oar oven overcoat package paddle pail
    painting pan parcel passport pearl pen pencil pendulum phone photograph piano picture pillow
    pipe plate plow plug pocket pole poster pot printer projector pump puppet purse puzzle quilt
    racket radar radio raft rake razor receipt refrigerator ribbon ring robe rocket rope rug ruler
    saddle sail sandal satellite saw scarf screen screwdriver sculpture seal shawl shelf shield ship
    shirt shoe shovel shower shutter sink skate sketch ski skirt sled slipper sofa spade spoon
    stamp statue stethoscope stool stove suit suitcase sweater switch sword table tablet tank
    teapot telegram telephone telescope tent thermometer ticket tie toaster toolbox toothbrush
    torch towel toy tractor train tray treasure tripod trophy truck trumpet trunk tube typewriter
    umbrella uniform vase vehicle veil violin wagon wallet wardrobe watch wheel wheelbarrow whistle
    window wire wreath wrench yacht zipper
    """
)
PERSONS = _words(
    """
    accountant actor actress adviser analyst apprentice archaeologist architect artist assistant
    astronaut athlete author baker banker barber biologist bookkeeper builder butcher
    butler captain carpenter cashier champion chef chemist clerk coach colleague collector
    comedian composer conductor cook counselor craftsman critic customer cyclist dancer
    dealer dentist designer detective director doctor driver economist editor electrician
    engineer expert explorer farmer firefighter fisherman florist gardener 
    geologist governor guard guide hairdresser historian host
    hunter inspector instructor inventor investor janitor jeweler journalist judge juggler 
    landlord lawyer lecturer librarian lifeguard magician manager mathematician mayor mechanic
    merchant messenger miner minister musician neighbor novelist nurse officer
    painter passenger patient performer pharmacist philosopher photographer physician pianist pilot
    pirate plumber poet policeman politician porter potter professor programmer
    psychologist receptionist reporter researcher sailor salesman scholar scientist
    sculptor secretary senator shepherd shopkeeper singer soldier student surgeon
    tailor teacher teenager tenant tourist trainer translator traveler umpire 
    veterinarian violinist visitor volunteer waiter waitress weaver writer
    """
)
ANIMALS = _words(
    """
    alligator ant antelope badger bat bear beaver bee bird buffalo bull butterfly calf camel canary
    cat chicken cow crab crocodile crow deer dog dolphin donkey dragonfly duck eagle eel elephant
    falcon ferret fish fox frog giraffe goat goldfish goose gorilla grasshopper hamster hare hawk
    hedgehog hen heron horse jaguar jellyfish kangaroo kitten lamb leopard lion lizard llama lobster
    magpie mole monkey moose moth mouse mule octopus ostrich otter owl ox oyster panda parrot
    peacock pelican penguin pheasant pig pigeon pony puppy rabbit raccoon rat raven reindeer robin
    rooster salmon seal seagull shark sheep snail snake sparrow spider squirrel stork swan tiger
    toad trout turkey turtle vulture walrus wasp weasel whale wolf woodpecker worm zebra
    """
)
FOODS = _words(
    """
    apricots avocado bacon barley beans bread broccoli broth butter cabbage cake carrots cauliflower
    celery cereal cheese cherries chicken chili chocolate cider cinnamon coconut coffee cookies corn
    cranberries cream cucumber custard dates figs fish fruit garlic ginger grapes gravy ham honey
    jam juice ketchup lamb lemonade lentils lettuce mayonnaise meat melon milk mushrooms
    mustard noodles nuts oatmeal olives onions oranges pancakes parsley pasta pastry peaches peanuts
    pears peas pepper pickles pie pineapple pizza plums popcorn porridge pork potatoes pudding
    pumpkin raisins raspberries rice salad salmon salt sandwiches sausages soup spinach stew
    strawberries sugar syrup tea toast tomatoes tuna turkey vegetables vinegar walnuts yogurt
    """
)
TOPICS = _words(
    """
    advertising agriculture algebra anatomy architecture art astronomy beauty biology business
    chance chemistry climate courage culture democracy economics education electricity energy
    engineering evolution family fashion fiction finance football freedom friendship geography
    geology geometry grammar gravity happiness health history housing imagination insurance
    intelligence jazz journalism justice language law literature logic love luck magic marriage
    mathematics medicine memory money music nature nutrition opera patience philosophy
    photography physics poetry politics poverty power pride progress psychology religion science
    sculpture silence sociology space sport statistics strategy success taxes technology television
    theater tourism trade traffic transportation travel trust truth war weather wisdom work
    """
)
# Of things, places and food, before a noun as well as after "is".
QUALITIES = _words(
    """
    absurd admirable amazing ancient annoying astonishing attractive awful awkward beautiful
    big bizarre blue bold boring bright brilliant brown calm cheap clean
    cold colorful comfortable complicated convenient dangerous dark decent delicate
    delicious delightful different difficult dirty dreadful dry dull dusty elegant empty
    enormous excellent exciting expensive extraordinary fabulous famous fancy fantastic
    fascinating fine fragile fresh frightening funny genuine gigantic glorious
    golden good gorgeous graceful gray great green handsome handy happy harmless heavy
    hideous horrible hot huge icy ideal important impressive incredible interesting
    invisible juicy little lively loud lovely lucky magnificent marvelous massive modern
    modest muddy mysterious narrow nasty neat new nice noisy normal obvious odd old orange
    ordinary original painful peculiar perfect pleasant poor popular practical
    precious pretty purple quaint quick quiet rare red reliable remarkable rich ridiculous
    round rusty safe secret shabby sharp shiny silent silver simple slow small smart soft
    solid special splendid sticky stiff strange strong sturdy suitable superb surprising
    sweet tall terrible tight tiny tough traditional ugly unique unusual useful
    useless usual valuable weird white wide wild wonderful wooden worn yellow
    """
)
# Of persons and animals.
MOODS = _words(
    """
    ambitious angry anxious brave busy calm careful careless charming cheerful clever clumsy
    confident confused contented curious disappointed eager elegant excited famous foolish
    friendly generous gentle grateful grumpy happy helpful honest humble hungry impatient
    independent jealous jolly kind lazy lively lonely modest mysterious nervous old patient
    polite popular proud quick quiet reasonable relaxed reliable remarkable rude sad
    sensible serious shy silly sleepy strange strict strong stubborn suspicious talented
    tall thirsty thoughtful tidy tired tough upset wealthy wise witty worried young
    """
)
WEATHER = _words(
    "awful beautiful bright chilly cloudy cold dreadful dry foggy freezing hot humid lovely "
    "mild misty perfect rainy sunny terrible warm wet windy wonderful"
)
MANNERS = _words(
    """
    absently abruptly angrily anxiously awkwardly badly beautifully bitterly blindly boldly bravely
    briefly brightly brilliantly briskly calmly carefully carelessly cautiously cheerfully clearly
    clumsily coldly confidently coolly courageously curiously deliberately desperately directly
    dramatically dreamily eagerly easily elegantly enthusiastically excitedly fiercely firmly
    frankly frantically freely furiously generously gently gladly gracefully gratefully gravely
    grimly happily hastily heavily honestly hopefully hurriedly impatiently innocently intently
    jealously joyfully kindly lazily lightly loudly madly merrily mysteriously neatly nervously
    noisily obediently oddly openly painfully patiently peacefully playfully politely proudly
    quickly quietly rapidly reluctantly rudely sadly sharply shyly silently simply sleepily slowly
    smoothly softly solemnly steadily sternly stiffly strangely suddenly sweetly swiftly tenderly
    thoughtfully tightly triumphantly uneasily unexpectedly urgently vaguely vigorously warmly
    wearily wildly wisely
    """
)
# What somebody does, without an object.
ACTIONS = _words(
    """
    agree apologize applaud argue arrive bathe begin blink blush boast bow breathe camp celebrate
    chat cheat cheer climb complain compromise concentrate confess continue cook cough crawl cry
    dance debate disagree disappear dive doze draw dream drive eat escape exercise experiment
    explore farm fidget fight fish float fly frown gallop gamble garden gasp giggle graduate grin
    groan growl grumble hesitate hike hitchhike hum hunt hurry imagine improvise interfere jog joke
    juggle jump kneel knit laugh leap learn leave listen march meditate mumble murmur mutter nod
    obey observe paint panic participate play pray protest quarrel race read recite recover rehearse
    relax remember rest retire return ride rise row run scream sew shiver shout shrug sigh sing
    skate ski skip sleep smile sneeze snore sob speak stagger stammer stand stare stay stretch
    stroll struggle study stumble surrender survive swim sympathize talk teach think travel tremble
    type vanish volunteer vote wait wake walk wander watch weep whisper whistle win wink wonder work
    worry write yawn yell yodel
    """
)
# What somebody does with any thing.
HANDLINGS = _words(
    """
    adjust admire assemble auction borrow bring build buy carry catch check clean collect compare
    copy cover decorate deliver describe design destroy draw drop dust examine exchange fetch find
    fix hide hold ignore improve inspect install invent investigate keep
    label lend lift locate lower measure mend move order pack
    paint photograph polish preserve protect pull push raise recognize remove rent repair
    replace restore return save search sell shake share show sketch smash stop store study
    test throw touch transport turn unpack use wash watch weigh wrap
    """
)
