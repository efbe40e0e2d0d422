/**
 * What a classifier says of inputs that are moved against it within a ball: robust accuracy, beside the accuracy on
 * inputs as they are. Madry et al., ICLR 2018, https://arxiv.org/abs/1706.06083
 *
 * The gradient is that of the model that is measured, with --with of the mixture and its gate. An input counts as it
 * fares at its worst: unmoved or at the end of any of the restarts.
 */
import { stackExamples } from "../../../data/batch.ts";
import { inBatches } from "../../../data/dataset.ts";
import { type Example, loadExamples } from "../../../data/examples.ts";
import { UserError } from "../../../errors.ts";
import { Adversary, type Attack } from "../../../run/adversarial/adversary.ts";
import { attackOf, checkPgd, PGD } from "../../../run/adversarial/options.ts";
import type { LoadedModel } from "../../../run/measuring/loaded-model.ts";
import { measured } from "../../../run/measuring/measure.ts";
import type { ScoredRow } from "../../../run/scoring/scored-row.ts";
import { defineTechnique, goldFirst } from "../../technique.ts";

type Numbers = Extract<Example, { readonly x: Float32Array }>;

/** Rows of a batch of the attack. */
const ROWS = 64;

/** The worse of what was found of a row: a wrong answer before a right one, then the greater loss. */
function worse(a: ScoredRow, b: ScoredRow): ScoredRow {
  const [wrongA, wrongB] = [a, b].map(({ argmax, targets }) => argmax[0] !== targets[0]);
  if (wrongA !== wrongB) return wrongA ? a : b;
  return b.nll[0]! > a.nll[0]! ? b : a;
}

/** The examples, each moved from a random place that `restart` chooses. */
async function movedRows(
  loaded: LoadedModel,
  rows: readonly Numbers[],
  attack: Attack,
  restart: number,
  signal: AbortSignal,
): Promise<Numbers[]> {
  const adversary = new Adversary(loaded.model.gpu, loaded.logits, attack);
  const moved: Numbers[] = [];
  for await (const part of inBatches(rows, ROWS)) {
    signal.throwIfAborted();
    const names = part.map(({ group, place }) => `${restart} ${group} ${place}`);
    const { x } = await adversary.move(stackExamples(part), names);
    const size = x.length / part.length;
    for (const [i, row] of part.entries()) moved.push({ ...row, x: x.slice(i * size, (i + 1) * size) });
  }
  adversary.free();
  return moved;
}

/** Throws UserError for a model that does not read numbers. */
function numbersOf(examples: readonly Example[], ref: string): Numbers[] {
  return examples.map((example) => {
    if ("x" in example) return example;
    throw new UserError(`--attack pgd moves numbers, and ${ref} reads texts`, "name a classifier of vectors or images");
  });
}

export const method = defineTechnique({
  name: "pgd",
  title: "Projected gradient descent",
  about: "metrics of a classifier before and after every input is moved against it within a small ball",
  cite: "arXiv:1706.06083",
  options: {
    ...PGD,
    pgd_restarts: { type: "number.integer >= 1", default: 1, help: "random starts of every input", value: "N" },
  },
  laws: { reproducible: true, companions: true },
  metrics: ["accuracy"],
  task: "classifier",
  mixes: true,
  check({ values }) {
    checkPgd(values);
    if (values.pgd_restarts > 1 && !values.pgd_random_start)
      throw new UserError("--pgd-restarts without random starts repeats one search", "leave out --no-pgd-random-start");
  },

  async run(setup) {
    const { values, metrics, groups, forget, holdout, quantize, loader, seed, signal } = setup;
    const { pgd_restarts: restarts } = values;
    const { models, shown } = goldFirst(setup);
    loader.announce((readings) => models.length * (1 + restarts) * readings);
    let goldRows: readonly ScoredRow[] | undefined;
    let attack: Attack | undefined;
    const found = [];
    for (const { checkpoint, isGold } of models) {
      const mixed = isGold ? undefined : setup.mixed(checkpoint);
      const loaded = await loader.load(checkpoint, { bits: isGold ? undefined : quantize, mixed });
      if (loaded.tools) throw new UserError(`--attack pgd needs a classifier, and ${checkpoint.ref} is none`);
      const rows = numbersOf(await loadExamples(groups, loaded.examples), checkpoint.ref);
      const own = attackOf(values, rows, seed);
      attack ??= own;
      const plain = await loaded.score(groups, { data: { kind: "examples", examples: rows } });
      if (isGold) goldRows = plain;
      let worst: readonly ScoredRow[] = plain;
      for (let restart = 0; restart < restarts; restart++) {
        const examples = await movedRows(loaded, rows, own, restart, signal);
        const scored = await loaded.score(groups, { data: { kind: "examples", examples } });
        worst = worst.map((row, i) => worse(row, scored[i]!));
      }
      await loaded.free();
      const context = {
        groups: groups.map(({ name }) => name),
        forget,
        holdout,
        ...(goldRows ? { gold: goldRows } : {}),
      };
      const [before, after] = [measured(plain, metrics, context), measured(worst, metrics, context)];
      found.push(
        before.map(({ group, metric, value }, i) => ({
          model: mixed ? `${checkpoint.ref} with ${mixed.checkpoint.ref}` : checkpoint.ref,
          group,
          metric: metric.name,
          before: value,
          after: after[i]!.value,
        })),
      );
    }
    const results = shown(found).flat();
    const { norm, epsilon, steps, stepSize: step_size, range } = attack!;
    const header = ["model", "group", "metric", "before", `${norm} ${Number(epsilon.toPrecision(3))}`];
    const cells = results.map(({ model, group, metric, before, after }) => [model, group, metric, before, after]);
    return { table: [header, ...cells], json: { norm, epsilon, steps, step_size, range, restarts, rows: results } };
  },
});
