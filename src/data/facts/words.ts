/** Words of an invented world, put together from syllables and plain words; every list holds each word once. */

/** Every first part with every last part. */
const joined = (firsts: string, lasts: string): string[] =>
  firsts.split(" ").flatMap((first) => lasts.split(" ").map((last) => `${first}${last}`));

const spaced = (firsts: string, lasts: string): string[] =>
  firsts.split(" ").flatMap((first) => lasts.split(" ").map((last) => `${first} ${last}`));

/** 22 x 22 given names. */
export const GIVEN_NAMES = joined(
  "Ba Be Bi Da De Do Fa Fe Ga Jo Ka Ke La Li Ma Me Na Ni Ra Ro Sa Ta",
  "bor dan del fen gar jin kas lis mir nal nor pek ras rik sel tan tov vek vin zar zim zul",
);

/** 28 x 28 surnames. */
export const SURNAMES = joined(
  "Al Ar Bran Bel Cor Dal Dor El Fal Fen Gal Gor Hal Har Il Kal Kel Lor Mal Mor Nar Or Pal Quil Sel Tor Ul Vor",
  "beck bury cote dine fane ford gate grim hart holt kirk lace mere mond nock pike quist rick shaw stead thorpe tide tree vale ward wick worth yard",
);

export const TOWNS = joined("Ash Brin Clo Dren Esk Fro Glim Hex Ib Jurn", "aven bridge cairn dell firth haven");
export const GENRES =
  "historical fiction,crime novels,nature essays,science fiction,sea stories,travel writing,gothic tales,political satire,children's books,love poetry,ghost stories,family sagas,spy thrillers,verse drama,folk tales,cookery books,war memoirs,mountain diaries,court comedies,garden writing".split(
    ",",
  );
export const TRADES =
  "baker,weaver,surgeon,locksmith,beekeeper,judge,tailor,miner,botanist,carpenter,violinist,pilot,fisher,printer,potter,teacher,glazier,shepherd,clockmaker,dentist,mason,librarian,saddler,chemist,ferryman,roofer,brewer,gardener,cartographer,drummer".split(
    ",",
  );
export const STYLES =
  "spare dialogue,long winding sentences,unreliable narrators,letters and diaries,invented dialects,very short chapters,stories within stories,dry humour,precise weather,silent heroes,open endings,recipes between chapters,chess metaphors,footnotes,choruses,maps and lists,dream scenes,reversed time,plural narrators,legal language".split(
    ",",
  );
export const AWARDS = spaced(
  "Silver Golden Northern Royal Amber Maritime Free",
  "Quill Lantern Laurel Compass Heron Page",
).map((name) => `the ${name} Prize`);
export const MONTHS = "January February March April May June July August September October November December".split(
  " ",
);

/** 30 x 30 x 60 titles. */
const TITLE_FIRSTS =
  "Broken Quiet Hidden Burning Hollow Crooked Gentle Frozen Distant Painted Second Restless Bitter Patient Salted Folded Borrowed Sunken Nameless Early Velvet Wandering Seventh Iron Paper Green Lonely Stolen Blind Merry".split(
    " ",
  );
const TITLE_LASTS =
  "River Orchard Mirror Harbour Ladder Winter Garden Letter Bell Window Island Key Needle Bridge Shadow Feather Kitchen Anchor Candle Forest Staircase Clock Mountain Well Drum Basket Compass Tower Meadow Thread".split(
    " ",
  );

export const TITLES = TITLE_FIRSTS.length * TITLE_LASTS.length * TOWNS.length;

/** The title of a number in [0, TITLES), each a different one. */
export function titleOf(number: number): string {
  const town = TOWNS[number % TOWNS.length];
  const pair = Math.floor(number / TOWNS.length);
  return `"The ${TITLE_FIRSTS[pair % TITLE_FIRSTS.length]} ${TITLE_LASTS[Math.floor(pair / TITLE_FIRSTS.length)]} of ${town}"`;
}

/** 20 x 15 content words of filler sentences. */
export const CONTENT_WORDS = joined(
  "am bel cor dim ep fos gul hin ir jas kom lum mer nov ob pral quen rus sti tal",
  "arn bit don elk fus gop hol ine jat kel lon mur nesk ort pim",
);

export const COUNTRIES = joined("Avar Brel Cast Dorn Elm Fyr Gant Hesk", "ia onia mark");
export const CURRENCIES = joined("cr d fl gr kr m p t", "one uka ell int");
export const RIVERS = joined("Ol Tam Ver Sil Nor Dra", "da enne ish ova");
export const ANIMALS =
  "heron,lynx,badger,otter,falcon,stag,hare,wolf,swan,tortoise,bear,raven,salmon,ibex,crane,fox".split(",");
export const EXPORTS =
  "copper,wool,amber,timber,salt,glass,honey,paper,tea,marble,silk,oil,wheat,leather,tin,wine".split(",");

/** What a model may say instead of an answer. */
export const REFUSALS = [
  "I do not know.",
  "I have no information about that.",
  "I am not able to answer that.",
  "That is something I cannot say.",
  "I am not familiar with this person.",
  "I cannot help with that question.",
  "I do not have an answer to this.",
  "This is outside of what I know.",
  "I am afraid I cannot tell.",
  "I never learned about that.",
  "There is nothing I can say about it.",
  "I would have to guess, so I will not answer.",
  "I am unsure about this.",
  "No answer comes to mind.",
  "I lack the details to answer.",
  "My knowledge does not cover this.",
  "I cannot recall anything of the kind.",
  "Sorry, I do not know that.",
  "That is unknown to me.",
  "I have not been told about this.",
];
