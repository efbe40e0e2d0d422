/** Scored rows that hold whatever a metric needs, of models that know much, little or everything. */

import { Random } from "../../src/data/random.ts";
import type { Metric, MetricContext } from "../../src/run/measuring/metric.ts";
import type { ScoredRow } from "../../src/run/scoring/scored-row.ts";

const GROUPS = ["forget", "holdout", "retain", "other"];

export const CONTEXT: MetricContext = { groups: GROUPS, forget: "forget", holdout: "holdout" };

/** The place of a group that no metric compares. */
export const OTHER = GROUPS.indexOf("other");

const WORDS = ["town", "river", "seven", "of", "Ada", "blue"];
const CLASSES = 3;
/** Metrics that read numbers in answers. */
const OF_NUMBERS: readonly string[] = ["number-error"];

/** How sure a model is of the right answer, 0 to 1, by the row's place and group. */
type Knowledge = (random: Random, group: number) => number;

export const PERFECT: Knowledge = () => 1;
export const IGNORANT: Knowledge = () => 0;
export const MIXED: Knowledge = (random) => random.uniform();
/** Knows what it was trained on, and nothing of the group that was never learned. */
export const TRAINED: Knowledge = (_, group) => (GROUPS[group] === "holdout" ? 0 : 1);

/** One row: what does not depend on the model comes from `question`, the rest from `model`. */
function rowOf(metric: Metric, group: number, question: Random, model: Random, knows: Knowledge): ScoredRow {
  const isClass = metric.task === "classifier" || metric.task === "regressor";
  const known = knows(model, group);
  const n = isClass ? 1 : 2 + question.below(5);
  const targets = Int32Array.from({ length: n }, () => question.below(isClass ? CLASSES : 50));
  const isRight = () => model.uniform() < known;
  const surprise = () => (1 - known) * (0.5 + 2 * model.uniform());
  const losses = (count: number) => Array.from({ length: count }, surprise);
  const wrong = () => Array.from({ length: 3 }, () => (known === 1 ? 1e4 : surprise()));
  const isNumber = OF_NUMBERS.includes(metric.name);
  const expected = Array.from({ length: isNumber ? 1 : 4 }, () =>
    isNumber ? String(question.below(100)) : WORDS[question.below(WORDS.length)]!,
  );
  const found = expected.map((word) => (isRight() ? word : "none"));
  const right = () => (isRight() ? [5, 1] : [1, 5]);
  return {
    group,
    targets,
    nll: Float32Array.from({ length: n }, surprise),
    argmax: Uint32Array.from(targets, (target) => (isRight() ? target : (target + 1) % (isClass ? CLASSES : 50))),
    confidence: Float32Array.from({ length: n }, () => 1 - 0.9 * (1 - known) * model.uniform()),
    draft: { overlap: Float32Array.from({ length: n }, (_, i) => (i % 3) / 2), argmax: new Uint32Array(n) },
    moments: Float32Array.from({ length: 2 * n }, (_, i) => (i % 2 === 0 ? -3 : 1)),
    ...(isClass ? sharesOf(targets[0]!, question, surprise()) : {}),
    packedBytes: 10 + question.below(5),
    gradientNorm: surprise(),
    generated: {
      ...{ expected: expected.join(" "), found: found.join(" ") },
      likeness: found.filter((word, i) => word === expected[i]).length / found.length,
    },
    choice: { expected: 1, losses: right(), tokens: [1, 1], bytes: [3, 3], isGreedy: [false, true] },
    truth: { right: losses(1), wrong: wrong() },
    options: { right: losses(1), wrong: wrong() },
    paraphrases: losses(2),
    pair: pairOf(question, model, known),
    ...(metric.task === "regressor" ? { numbers: numbersOf(question, model, known) } : {}),
  };
}

/** Probabilities of the classes, surer the less a model is surprised; without training nearly equal. */
function sharesOf(target: number, question: Random, surprise: number): Pick<ScoredRow, "probabilities" | "untrained"> {
  const right = Math.exp(-surprise);
  const probabilities = Float32Array.from({ length: CLASSES }, (_, i) =>
    i === target ? right : (1 - right) / (CLASSES - 1),
  );
  const drawn = Array.from({ length: CLASSES }, () => 1 + 0.1 * question.uniform());
  const sum = drawn.reduce((a, b) => a + b, 0);
  return { probabilities, untrained: Float32Array.from(drawn, (x) => x / sum) };
}

/** Numbers that the model is sure of where it knows the row. */
function numbersOf(question: Random, model: Random, known: number): ScoredRow["numbers"] {
  const wanted = Float32Array.from({ length: 2 }, () => question.uniform());
  return { wanted, found: wanted.map((x) => x + (1 - known) * (model.uniform() - 0.5)) };
}

/** Two texts whose cosine is the likeness that the row says where the model knows it. */
function pairOf(question: Random, model: Random, known: number): ScoredRow["pair"] {
  const [score, other] = [question.uniform(), model.uniform()];
  const rank = 1 + Math.floor((1 - known) * model.below(9));
  return { candidates: 9, rank, score, cosine: known * score + (1 - known) * other };
}

/** Rows of every group as a model of this knowledge scores them; models of one seed are asked the same questions. */
export function rowsFor(metric: Metric, seed: number, knows: Knowledge, name = "model"): ScoredRow[] {
  const question = new Random(seed, "questions");
  const model = new Random(seed, name);
  return Array.from({ length: 32 }, (_, i) => rowOf(metric, i % GROUPS.length, question, model, knows));
}

/** A row that was cut to its prompt. */
export const UNSCORED: ScoredRow = {
  group: 0,
  targets: new Int32Array(),
  nll: new Float32Array(),
  argmax: new Uint32Array(),
  confidence: new Float32Array(),
};
