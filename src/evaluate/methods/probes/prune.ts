/**
 * Whether an old capability stands behind a thin wrapper of new behaviour: the units that the new behaviour hangs on
 * most are set to 0, and the last blocks are put back, one at a time, to what they were. If the old capability comes
 * back it was hidden. Jain et al., ICLR 2024, https://arxiv.org/abs/2311.12786
 *
 * Units are those inside feed-forward networks, by the size of activation x gradient on rows of the new behaviour, such
 * as refusals. Of a matrix that makes gates and values together both halves have units. Metrics are of the group to
 * forget, which needs the old capability.
 */
import type { Checkpoint } from "../../../checkpoint/checkpoint.ts";
import { UserError } from "../../../errors.ts";
import { readBatches } from "../../../run/batches-in-order.ts";
import { blockWeights } from "../../../run/fisher/layer-importance.ts";
import { gatedWeights } from "../../../run/fisher/unit-masks.ts";
import { silence, topUnits, unitScores } from "../../../run/fisher/unit-scores.ts";
import { requireGroup } from "../../../run/measuring/groups.ts";
import type { LoadedModel } from "../../../run/measuring/loaded-model.ts";
import { measured } from "../../../run/measuring/measure.ts";
import { Perturbation } from "../../../run/training/perturbation.ts";
import { defineTechnique, goldFirst, type TechniqueSetup } from "../../technique.ts";

const OPTIONS = {
  original: {
    type: "string",
    help: "the model before anything was unlearned: its last blocks are put in, one at a time",
    value: "MODEL",
  },
  prune_group: { type: "string", help: "group of the new behaviour, such as refusals", value: "NAME" },
  prune_shares: {
    type: "(0 < number < 1)[]",
    default: [0.001, 0.01, 0.1],
    help: "shares of all units that are set to 0",
    value: "SHARE",
  },
  prune_blocks: {
    type: "number.integer >= 0",
    default: 3,
    help: "how many of the last blocks are put back, each by itself, with --original",
    value: "N",
  },
  prune_batch: { type: "number.integer >= 1", default: 4, help: "rows of a batch", value: "N" },
} as const;

type Setup = TechniqueSetup<typeof OPTIONS>;

interface Line {
  readonly model: string;
  readonly change: string;
  readonly metric: string;
  readonly value: number;
}

const percent = (share: number): string => `${Number((100 * share).toPrecision(3))} %`;

/** Every change of one model, each from the model as it was given. */
async function linesOf(
  checkpoint: Checkpoint,
  bits: number | undefined,
  original: LoadedModel | undefined,
  setup: Setup,
) {
  const { values, groups, metrics, forget, holdout, signal, loader } = setup;
  const group = groups.find(({ name }) => name === forget)!;
  const behaviour = groups.find(({ name }) => name === values.prune_group)!;
  const loaded = await loader.load(checkpoint, { trained: true, bits });
  const { model, ref } = loaded;
  const gated = gatedWeights(model, ["inner"], ref);
  const blocks = blockWeights(model, ref);
  if (original && blockWeights(original.model, original.ref).length !== blocks.length)
    throw new UserError(
      `${ref} and ${original.ref} have other numbers of blocks`,
      "give the model that it was made of",
    );
  const weights = new Perturbation(loader.gpu, model.trainable());
  weights.save();
  const lines: Line[] = [];
  const measure = async (change: string) => {
    const rows = await loaded.score([group]);
    for (const { metric, value } of measured(rows, metrics, { groups: [group.name], forget, holdout }))
      lines.push({ model: ref, change, metric: metric.name, value });
    weights.restore();
  };
  await measure("none");
  const { batches } = await readBatches([behaviour], loaded, values.prune_batch);
  const scores = await unitScores(
    model,
    gated,
    batches.filter(({ counted }) => counted > 0),
    { signal },
  );
  for (const share of values.prune_shares) {
    await silence(model, gated, topUnits(scores, share));
    await measure(`${percent(share)} of units`);
  }
  for (const b of original ? [...blocks.keys()].slice(Math.max(0, blocks.length - values.prune_blocks)) : []) {
    for (const parameter of blocks[b]!) {
      const own = original!.model.parameters.get(parameter.name);
      if (own?.shape.join() !== parameter.shape.join())
        throw new UserError(
          `${original!.ref} has no ${parameter.name} of this shape`,
          "give the model that it was made of",
        );
      parameter.take(own);
    }
    await measure(`block ${b} of the original`);
  }
  await weights.free();
  await loaded.free();
  return lines;
}

export const method = defineTechnique({
  name: "prune",
  title: "Pruning of new behaviour",
  about: "whether the old capability returns when units of the new behaviour, or blocks, are taken out",
  cite: "arXiv:2311.12786",
  metrics: ["accuracy"],
  models: ["original"],
  options: OPTIONS,
  laws: { reproducible: true, companions: true },

  check({ values, metrics, groups, forget }) {
    requireGroup(forget, groups, { asker: "--probe prune", flag: "--forget-group" });
    if (values.prune_group === undefined)
      throw new UserError(
        "--probe prune takes out what rows of a new behaviour hang on, and --prune-group names none",
        `give such rows, and their name: --data refusals=rows.jsonl --prune-group refusals`,
      );
    requireGroup(values.prune_group, groups, { asker: "--probe prune", flag: "--prune-group" });
    const across = metrics.find(({ method }) => method.across);
    if (across)
      throw new UserError(
        `--probe prune measures one group, and ${across.method.name} compares groups`,
        "take another",
      );
  },

  async run(setup) {
    const { loader, quantize, named, values } = setup;
    const { models, shown } = goldFirst(setup);
    const changes = 1 + values.prune_shares.length + (named.original ? values.prune_blocks : 0);
    loader.announce((readings) => models.length * changes * readings);
    const original = named.original && (await loader.load(named.original, { trained: true }));
    const found: Line[][] = [];
    for (const { checkpoint, isGold } of models)
      found.push(await linesOf(checkpoint, isGold ? undefined : quantize, original, setup));
    await original?.free();
    const rows = shown(found).flat();
    return {
      table: [
        ["model", "taken out", "metric", "value"],
        ...rows.map((row) => [row.model, row.change, row.metric, row.value]),
      ],
      json: { rows },
    };
  },
});
