/**
 * Preferences whose utility is known: answers are strings of letters, each letter has a worth that depends on the
 * topic, and the utility of an answer is the mean worth of its letters.
 *
 * A labeller of Bradley and Terry compares two answers by s = utility + length_bias * letters: the first is chosen
 * with probability p = sigmoid((s1 - s2) / temperature), and with probability `noise` the label is turned. So the best
 * accuracy that a judge of pairs can have is the mean of max(p, 1 - p), and the answer of the largest utility is the
 * best letter alone, however often. Bradley and Terry 1952, https://doi.org/10.1093/biomet/39.3-4.324
 */
import { UserError } from "../../errors.ts";
import { exp } from "../portable.ts";
import { Random } from "../random.ts";
import { drawInSplit, type Row, type Split, task } from "../task.ts";

/** Pairs by which the accuracies of the facts are estimated; their standard error is below 0.012. */
const MEASURED = 2048;

const rounded = (x: number): number => Math.round(x * 1e6) / 1e6 + 0; // 0 for -0, which JSON does not keep

const letterOf = (index: number, first: string): string => String.fromCharCode(first.charCodeAt(0) + index);

/** One answer with what it is worth. */
interface Answer {
  readonly text: string;
  readonly utility: number;
}

interface Pair {
  readonly topic: number;
  readonly first: Answer;
  readonly second: Answer;
  /** That the first is chosen. */
  readonly probability: number;
}

interface World {
  /** The worth of each letter, by topic. */
  readonly worths: readonly (readonly number[])[];
  readonly shortest: number;
  readonly longest: number;
  readonly temperature: number;
  readonly noise: number;
  readonly lengthBias: number;
}

function worthsOf(seed: number, topics: number, letters: number): number[][] {
  const random = new Random(seed, "preferences-worth", letters);
  return Array.from({ length: topics }, () =>
    Array.from({ length: letters }, () => Math.round(100 * random.normal()) / 100 + 0),
  );
}

/** An answer to a topic; all lengths are equally likely, and all letters. */
function drawAnswer(random: Random, { worths, shortest, longest }: World, topic: number): Answer {
  const worth = worths[topic]!;
  const count = shortest + random.below(longest - shortest + 1);
  const letters = Array.from({ length: count }, () => random.below(worth.length));
  const utility = rounded(letters.reduce((sum, letter) => sum + worth[letter]!, 0) / count);
  return { text: letters.map((letter) => letterOf(letter, "a")).join(""), utility };
}

/** The probability that the first of two answers is chosen. */
function chosenFirst({ temperature, noise, lengthBias }: World, first: Answer, second: Answer): number {
  const gap = first.utility - second.utility + lengthBias * (first.text.length - second.text.length);
  const scaled =
    temperature === 0 ? (gap === 0 ? 0 : Math.sign(gap) * 600) : Math.max(-600, Math.min(600, gap / temperature));
  const better = 1 / (1 + exp(-scaled));
  return rounded((1 - noise) * better + noise * (1 - better));
}

/** Two different answers of a split to one topic. */
function drawPair(random: Random, split: Split, world: World): Pair {
  const topic = random.below(world.worths.length);
  const draw = (other?: Answer) =>
    drawInSplit(
      random,
      split,
      (source) => drawAnswer(source, world, topic),
      ({ text }) => (text === other?.text ? undefined : `${topic}:${text}`),
    );
  const first = draw();
  const second = draw(first);
  return { topic, first, second, probability: chosenFirst(world, first, second) };
}

/** What the best judge of labels reaches, and what the true utility reaches. */
function accuracies(seed: number, split: Split, world: World) {
  let [best, true_] = [0, 0];
  for (let i = 0; i < MEASURED; i++) {
    const {
      first,
      second,
      probability: p,
    } = drawPair(new Random(seed, "preferences-accuracy", split, i), split, world);
    best += Math.max(p, 1 - p);
    true_ += first.utility === second.utility ? 0.5 : first.utility > second.utility ? p : 1 - p;
  }
  return { bayes_accuracy: rounded(best / MEASURED), utility_accuracy: rounded(true_ / MEASURED) };
}

export const method = task({
  name: "preferences",
  title: "Preferences",
  about: "pairs of answers compared by a known utility, or single answers with a label",
  cite: "doi:10.1093/biomet/39.3-4.324",
  splits: "by a hash of topic and answer, whatever the seed: no answer to a topic occurs in two splits",
  options: {
    topics: { type: "1 <= number.integer <= 26", default: 4, help: "different prompts" },
    letters: { type: "2 <= number.integer <= 26", default: 8, help: "letters that answers are made of" },
    shortest: { type: "1 <= number.integer <= 1000", default: 3, help: "fewest letters of an answer" },
    longest: { type: "1 <= number.integer <= 1000", default: 8, help: "most letters of an answer" },
    temperature: {
      type: "0 <= number <= 1000",
      default: 0.25,
      help: "of the labeller; 0 chooses the better one always",
    },
    noise: { type: "0 <= number <= 1", default: 0, help: "share of labels that are turned" },
    length_bias: {
      type: "-100 <= number <= 100",
      default: 0,
      help: "what a letter more is worth to the labeller, and not in truth",
    },
    form: {
      type: "'pairs' | 'unpaired'",
      default: "pairs",
      help: "chosen and rejected, or one of them with label true or false",
    },
    desirable: {
      type: "0 <= number <= 1",
      default: 0.5,
      help: "share of chosen answers among rows of --form unpaired",
    },
  },

  laws: {
    apart: true,
    distinctRows: "rows are drawn one by one, so a pair may come twice",
    answered: "a pair has a better answer, not a right one",
    endless: true,
  },
  content: ({ prompt, chosen, completion }) => `${prompt}${chosen ?? completion}`,
  trials: [{}, { noise: 0.2, length_bias: 0.2 }, { form: "unpaired", desirable: 0.3 }],

  open({ seed, split }, { topics, letters, shortest, longest, temperature, noise, length_bias, form, desirable }) {
    if (shortest > longest)
      throw new UserError(
        `--shortest ${shortest} is more than --longest ${longest}`,
        "lower the one, or raise the other",
      );
    const worths = worthsOf(seed, topics, letters);
    const world = { worths, shortest, longest, temperature, noise, lengthBias: length_bias };
    const best = worths.reduce((sum, worth) => sum + Math.max(...worth), 0) / topics;
    return {
      rows: Number.POSITIVE_INFINITY,
      facts: { ...accuracies(seed, split, world), best_utility: rounded(best) },
      row(index): Row {
        const random = new Random(seed, "preferences", split, index);
        const { topic, first, second, probability: p } = drawPair(random, split, world);
        const isFirst = random.uniform() < p;
        const [chosen, rejected] = isFirst ? [first, second] : [second, first];
        const name = letterOf(topic, "A");
        const about = {
          group: `topic ${name}`,
          worth: Object.fromEntries(worths[topic]!.map((worth, letter) => [letterOf(letter, "a"), worth])),
        };
        if (form === "pairs")
          return {
            ...{ prompt: `${name}:`, chosen: chosen.text, rejected: rejected.text },
            ...{ utility_chosen: chosen.utility, utility_rejected: rejected.utility },
            probability: isFirst ? p : rounded(1 - p),
            ...about,
          };
        const label = random.uniform() < desirable;
        const shown = label ? chosen : rejected;
        return { prompt: `${name}:`, completion: shown.text, label, utility: shown.utility, ...about };
      },
    };
  },
});
