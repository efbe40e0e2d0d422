/**
 * Which blocks, and which of their modules, learn a task at the least cost to what a model knows: the coarse search of
 * CoFiTune. Zhang et al., ACL Findings 2024, https://arxiv.org/abs/2404.10306
 *
 * The model learns some rows of the task through one range at a time, always from the start. A range is worth the mean
 * of two scores, exp(-loss) on other rows of the task (speciality) and on the general rows (versatility). The lower,
 * middle and upper half come first, then the halves of the best, then attention and feed-forward network of the best.
 */
import type { Checkpoint } from "../../../checkpoint/checkpoint.ts";
import { collate, stackExamples } from "../../../data/batch.ts";
import type { GroupReference } from "../../../data/groups.ts";
import { UserError } from "../../../errors.ts";
import { readBatches } from "../../../run/batches-in-order.ts";
import { coarseRanges, halvesOf, kindsOf, type LayerRange, weightsOf } from "../../../run/fisher/layer-ranges.ts";
import { requireGroup } from "../../../run/measuring/groups.ts";
import type { LoadedModel } from "../../../run/measuring/loaded-model.ts";
import { HeldOut, type HeldOutGroup } from "../../../run/training/held-out.ts";
import { drawRows, finetune, type Material } from "../../../run/training/short-training.ts";
import { quote } from "../../../text/quote.ts";
import { defineTechnique, type TechniqueInfo, type TechniqueSetup } from "../../technique.ts";

const OPTIONS = {
  layer_range_general: { type: "string", help: "group that tells what the model knows; required", value: "NAME" },
  layer_range_steps: { type: "number.integer >= 1", default: 50, help: "steps of each training", value: "N" },
  layer_range_lr: { type: "number > 0", default: 4e-5, help: "rate of AdamW, constant", value: "RATE" },
  layer_range_batch: { type: "number.integer >= 1", default: 8, help: "rows of a step", value: "N" },
  layer_range_held: {
    type: "0 < number < 1",
    default: 0.2,
    help: "share of the task's rows that are measured, not learned",
    value: "F",
  },
} as const;

type Setup = TechniqueSetup<typeof OPTIONS>;

/** A range that was tried. */
interface Node extends LayerRange {
  readonly task: number;
  readonly general: number;
  readonly score: number;
  readonly patterns: readonly string[];
}

function check({ values, metrics, groups, gold }: TechniqueInfo<typeof OPTIONS>): void {
  const { layer_range_general: general } = values;
  if (metrics.length > 0)
    throw new UserError("--metric has no effect with --probe layer-range, which measures losses", "leave it out");
  if (gold) throw new UserError("--gold has no effect with --probe layer-range", "give the model as one more argument");
  if (general === undefined)
    throw new UserError(
      "--probe layer-range does not know which rows tell what the model knows",
      "name their group, --layer-range-general NAME",
    );
  requireGroup(general, groups, { asker: "--probe layer-range", flag: "--layer-range-general" });
  if (groups.length !== 2)
    throw new UserError(
      `--probe layer-range takes a group of the task and a general one, and there are ${groups.length}`,
      "give --data task=a.jsonl --data general=b.jsonl",
    );
}

/** Rows behind the first `count`, in batches. */
function measuredRows(material: Material, count: number, many: number): HeldOutGroup {
  const rest = material.rows.length - count;
  const parts = Array.from({ length: Math.ceil(rest / many) }, (_, i) => count + i * many);
  const batches =
    material.kind === "text"
      ? parts.map((at) =>
          collate(
            material.rows.slice(at, at + many).map((row) => [row]),
            { pad: material.pad },
          ),
        )
      : parts.map((at) => stackExamples(material.rows.slice(at, at + many)));
  return { name: "task", batches, rows: rest };
}

/** The task's rows, shuffled by seed, of which the first `learned` are learned. Throws UserError for too few. */
async function taskRows(loaded: LoadedModel, group: GroupReference, { values, seed }: Setup) {
  const material = await drawRows(loaded, group, seed);
  const learned = Math.floor(material.rows.length * (1 - values.layer_range_held));
  if (learned === 0 || learned === material.rows.length)
    throw new UserError(
      `the group ${group.name} has ${material.rows.length} rows, too few to learn some and measure others`,
      "give more rows",
    );
  return { material, learned };
}

/** Trains a range from the start, and measures. */
async function tried(checkpoint: Checkpoint, range: LayerRange, setup: Setup): Promise<Node> {
  const { values, groups, seed, signal, loader, quantize } = setup;
  const { layer_range_general: name, layer_range_batch: many, layer_range_steps: steps, layer_range_lr: lr } = values;
  const loaded = await loader.load(checkpoint, { trained: true, bits: quantize });
  const { model, ref } = loaded;
  const { material, learned } = await taskRows(loaded, groups.find((group) => group.name !== name)!, setup);
  const general = groups.find((group) => group.name === name)!;
  const held = new HeldOut(model, [
    measuredRows(material, learned, many),
    { name: general.name, ...(await readBatches([general], loaded, many)) },
  ]);
  const { weights, patterns } = weightsOf(model, range);
  for (const parameter of model.parameters.values()) parameter.trainable &&= weights.includes(parameter);
  const given = { rows: learned, steps, lr, batchSize: many, seed, signal, rateFlag: "--layer-range-lr" };
  await finetune(loaded, material, { ...given, done: () => loader.tick(ref) });
  const [task, known] = (await held.losses()).map(({ loss }) => loss) as [number, number];
  await held.free();
  await loaded.free();
  return { ...range, task, general: known, score: (Math.exp(-task) + Math.exp(-known)) / 2, patterns };
}

const best = (nodes: readonly Node[]): Node => nodes.reduce((a, b) => (b.score > a.score ? b : a));

/** All nodes that were tried, in their order. */
async function searched(checkpoint: Checkpoint, layers: number, setup: Setup): Promise<Node[]> {
  const nodes: Node[] = [];
  const all = async (ranges: readonly LayerRange[]) => {
    for (const range of ranges) nodes.push(await tried(checkpoint, range, setup));
  };
  await all(coarseRanges(layers));
  await all(halvesOf(best(nodes)));
  await all(kindsOf(best(nodes)));
  return nodes;
}

export const method = defineTechnique({
  name: "layer-range",
  title: "Blocks that learn a task",
  about: "trains ranges of blocks shortly, and names the one that learns a task and keeps the rest, for --train-only",
  cite: "arXiv:2404.10306",
  metrics: [],
  options: OPTIONS,
  laws: { reproducible: true, companions: true },
  check,

  async run(setup) {
    const { candidates, values, loader } = setup;
    const found: { model: string; best: Node; nodes: Node[] }[] = [];
    for (const checkpoint of candidates) {
      const layers = await layersOf(checkpoint, setup);
      const trials = coarseRanges(layers).length + (Math.ceil(layers / 2) > 1 ? 2 : 0) + 2;
      if (found.length === 0) loader.begin(candidates.length * trials * values.layer_range_steps, "rows");
      const nodes = await searched(checkpoint, layers, setup);
      found.push({ model: checkpoint.ref, best: best(nodes), nodes });
    }
    const rows = found.flatMap(({ model, best, nodes }) =>
      nodes.map((node) => {
        const { first, end, modules, task, general, score } = node;
        return [model, `${first}-${end - 1}`, modules, task, general, score, node === best ? trainOnly(node) : ""];
      }),
    );
    return {
      table: [["model", "blocks", "modules", "task loss", "general loss", "score", "best"], ...rows],
      json: { rows: found },
    };
  },
});

const trainOnly = ({ patterns }: Node): string => patterns.map((pattern) => `--train-only ${quote(pattern)}`).join(" ");

/** The number of a model's blocks. */
async function layersOf(checkpoint: Checkpoint, { loader, quantize }: Setup): Promise<number> {
  const loaded = await loader.load(checkpoint, { bits: quantize });
  await loaded.free();
  return loaded.model.sizes.layers;
}
