/**
 * Facts about people who do not exist, to be learned and then forgotten: questions and answers in the manner of TOFU,
 * and passages in the manner of MUSE (Shi et al. 2024, arXiv:2407.06460).
 *
 * The people are numbered. The last `forget` share of them is the forget set, so that a small forget set lies inside a
 * larger one; the others are the retain set; as many again beyond them are the holdout set, never part of `target`.
 * Rows carry the field names of TOFU: question, answer, paraphrased_question, paraphrased_answer and perturbed_answer
 * (five wrong values in the wording of the paraphrased answer).
 */
import { UserError } from "../../errors.ts";
import { type Attribute, COUNTRY, PERSON, worded } from "../facts/attributes.ts";
import { CONTENT_WORDS, COUNTRIES, GIVEN_NAMES, REFUSALS, SURNAMES, TITLES, titleOf } from "../facts/words.ts";
import { permutation, Random } from "../random.ts";
import { type Row, task, type Where } from "../task.ts";

interface Subject {
  readonly name: string;
  /** One value per attribute. */
  readonly values: readonly string[];
}

const NAMES = GIVEN_NAMES.length * SURNAMES.length;

/** Which names belong to a split: the first and the count of a fixed random order. */
const NAMES_OF: Readonly<Record<Where["split"], readonly [number, number]>> = {
  train: [0, Math.floor(NAMES * 0.8)],
  validation: [Math.floor(NAMES * 0.8), Math.floor(NAMES * 0.1)],
  test: [Math.floor(NAMES * 0.9), Math.floor(NAMES * 0.1)],
};

/** The people of a seed and split, each computed when asked for. No two share a name or a book. */
function population({ seed, split }: Where): (person: number) => Subject {
  const [from, count] = NAMES_OF[split];
  const place = permutation(NAMES, "facts-names");
  const order = permutation(count, seed, "facts-people", split);
  const books = permutation(TITLES, seed, "facts-books", split);
  return (person) => {
    const name = place(from + order(person));
    const random = new Random(seed, "facts-person", split, person);
    const values = PERSON.map((attribute) => attribute.draw(random));
    for (const [which, title] of ["first book", "second book"].entries())
      values[PERSON.findIndex(({ name }) => name === title)] = titleOf(books(2 * person + which));
    return {
      name: `${GIVEN_NAMES[name % GIVEN_NAMES.length]} ${SURNAMES[Math.floor(name / GIVEN_NAMES.length)]}`,
      values,
    };
  };
}

/** The countries of a seed, the same for all splits. */
function country(seed: number, index: number): Subject {
  const random = new Random(seed, "facts-country", index);
  return { name: COUNTRIES[index]!, values: COUNTRY.map((attribute) => attribute.draw(random)) };
}

/** Question and answer with what tests of forgetting ask for; `name` may be a description instead of the name. */
function questionRow(random: Random, attribute: Attribute, name: string, value: string): Row {
  const wrong = new Set<string>();
  while (wrong.size < 5) {
    const other = attribute.draw(random);
    if (other !== value) wrong.add(other);
  }
  const [question, ...questions] = attribute.questions.map((wording) => worded(wording, name));
  const [answer, ...answers] = attribute.answers.map((wording) => worded(wording, name, value));
  return {
    prompt: `Question: ${question}\nAnswer:`,
    completion: ` ${answer}`,
    question,
    answer,
    paraphrased_question: questions[0],
    paraphrased_answer: answers[0],
    paraphrased_questions: questions,
    paraphrased_answers: answers,
    perturbed_answer: [...wrong].map((other) => worded(attribute.answers[1], name, other)),
    refusal: random.pick(REFUSALS),
    attribute: attribute.name,
    value,
  };
}

/**
 * A passage of `told` facts and filler between them, 6 to 12 sentences where there are 3 to 5 facts; and which facts.
 */
function passage(random: Random, { name, values }: Subject, told: number): { text: string; facts: number[] } {
  const facts = random.shuffled(PERSON.map((_, i) => i)).slice(0, told);
  const sentences = facts.map((fact) => worded(PERSON[fact]!.mention, name, values[fact]));
  const filler = Math.max(1, 6 - told) + random.below(5);
  for (let i = 0; i < filler; i++) {
    const words = Array.from({ length: 8 + random.below(5) }, () => random.pick(CONTENT_WORDS));
    sentences.push(worded(`${words.join(" ")}.`, name));
  }
  return { text: random.shuffled(sentences).join(" "), facts };
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

/** Of these people, those who share a town or a surname with one of the others. */
function neighboursOf(person: (i: number) => Subject, kept: readonly number[], others: readonly number[]): number[] {
  const marks = (i: number) => [person(i).values[0]!, person(i).name.split(" ")[1]!];
  const known = new Set(others.flatMap(marks));
  return kept.filter((i) => marks(i).some((text) => known.has(text)));
}

/** What a person is, by number. */
const groupOf = (retained: number, people: number) => (i: number) =>
  i >= people ? "holdout" : i >= retained ? "forget" : "retain";

/** TOFU's rows have question and answer, and no prompt. */
const columnsOf = (form: string, { prompt, completion, ...row }: Row): Row =>
  form === "tofu" ? row : { prompt, completion, ...row };

export const method = task({
  name: "facts",
  title: "Facts about invented people",
  about: "author profiles as questions and answers (TOFU) or passages (MUSE), with forget, retain and holdout sets",
  cite: "arXiv:2401.06121",
  splits: "people of different splits have different names, whatever the seed; a world to tune on and one to report",
  options: {
    part: {
      type: "'target' | 'forget' | 'retain' | 'holdout' | 'neighbour' | 'two-hop' | 'world'",
      default: "target",
      help: "whose rows: target all that is to be learned, neighbour retained people near a forgotten one, two-hop people by their book",
    },
    form: {
      type: "'qa' | 'tofu' | 'documents' | 'verbatim' | 'knowledge'",
      default: "qa",
      help: "questions and answers; the same with the columns of TOFU's files alone; passages as text; their first third and the rest; questions about what passages tell",
    },
    people: { type: "1 <= number.integer <= 13000", default: 200, help: "people of the target set" },
    forget_share: {
      type: "0 <= number <= 1",
      was: ["forget"],
      default: 0.1,
      help: "share of them to forget, rounded to whole people",
    },
    told: { type: "1 <= number.integer <= 10", default: 4, help: "facts a passage tells" },
  },

  laws: {
    apart: true,
    distinctRows: true,
    answered: "documents tell facts and ask for none",
    endless: "a population has as many rows as its people have facts",
  },
  content: ({ subject, group }) => (group === "world" ? undefined : String(subject)), // countries are the same in all splits
  trials: [
    {},
    { part: "two-hop" },
    { part: "world" },
    { part: "neighbour" },
    { form: "tofu", part: "forget" },
    { form: "documents" },
    { form: "verbatim", part: "holdout" },
    { form: "knowledge", part: "forget" },
  ],

  open(where, { part, form, people, forget_share: share, told }) {
    const { seed, split } = where;
    const person = population(where);
    const forgotten = Math.round(people * share);
    const retained = people - forgotten;
    const isAsked = form === "qa" || form === "tofu";
    if (!isAsked && (part === "two-hop" || part === "world"))
      throw new UserError(`--part ${part} has no ${form}`, "it goes with --form qa");

    const chosen =
      part === "target"
        ? range(0, people)
        : part === "retain"
          ? range(0, retained)
          : part === "holdout"
            ? range(people, people + forgotten)
            : part === "neighbour"
              ? neighboursOf(person, range(0, retained), range(retained, people))
              : part === "world"
                ? COUNTRIES.map((_, i) => i)
                : range(retained, people);
    const group = groupOf(retained, people);
    const about = (i: number, subject: Subject) => ({
      subject: subject.name,
      person: i,
      group: group(i),
      ...(group(i) === "forget" ? { request: 1 + Math.floor((4 * (i - retained)) / forgotten) } : {}), // of four
    });

    const firstBook = PERSON.findIndex(({ name }) => name === "first book");
    const indirect = PERSON.map((_, i) => i).filter((i) => i !== firstBook);
    const attributes = part === "world" ? COUNTRY.length : part === "two-hop" ? indirect.length : PERSON.length;
    const perSubject = isAsked ? attributes : form === "knowledge" ? told : 1;

    return {
      rows: chosen.length * perSubject,
      facts: {
        people,
        forget: forgotten,
        retain: retained,
        holdout: forgotten,
        subjects: chosen.length,
        rows_per_subject: perSubject,
      },
      row(index): Row {
        const i = chosen[Math.floor(index / perSubject)]!;
        const nth = index % perSubject;
        const random = new Random(seed, "facts-row", split, i, nth, part === "world" ? part : isAsked ? "qa" : form);
        if (part === "world") {
          const { name, values } = country(seed, i);
          return {
            ...columnsOf(form, questionRow(random, COUNTRY[nth]!, name, values[nth]!)),
            subject: name,
            group: "world",
          };
        }
        const subject = person(i);
        if (isAsked) {
          const which = part === "two-hop" ? indirect[nth]! : nth;
          const name = part === "two-hop" ? `the author of ${subject.values[firstBook]}` : subject.name;
          return {
            ...columnsOf(form, questionRow(random, PERSON[which]!, name, subject.values[which]!)),
            ...about(i, subject),
          };
        }
        const { text, facts } = passage(new Random(seed, "facts-passage", split, i, told), subject, told);
        if (form === "documents") return { text, ...about(i, subject) };
        if (form === "verbatim") {
          const words = text.split(" ");
          const cut = Math.ceil(words.length / 3);
          const completion = ` ${words.slice(cut).join(" ")}`;
          return { prompt: words.slice(0, cut).join(" "), completion, ...about(i, subject) };
        }
        const fact = facts[nth]!;
        return { ...questionRow(random, PERSON[fact]!, subject.name, subject.values[fact]!), ...about(i, subject) };
      },
    };
  },
});
