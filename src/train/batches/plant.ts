/** `train --plant`: the experiments of a file in one training, and when each of them is over. */
import { loadSequences } from "../../data/dataset.ts";
import { UserError } from "../../errors.ts";
import type { Options, Values } from "../../method/options.ts";
import type { Model } from "../../model/model.ts";
import type { Log } from "../../run/command-context.ts";
import { type Planted, readPlan } from "../../run/planting/plan.ts";
import { type Experiment, Planting } from "../../run/planting/planted-batches.ts";
import type { ReadRows } from "../../run/training/batch-source.ts";
import type { Controller } from "../../run/training/controller.ts";
import { HeldOut, type HeldOutGroup, readHeldOut } from "../../run/training/held-out.ts";
import type { Opened } from "../../run/training/technique.ts";

export const PLANT = {
  plant: {
    type: "string",
    help: "experiments to plant in the data, a line each: name, rows, control, times, from, to, until, probe",
    value: "FILE",
  },
  plant_every: {
    type: "number.integer >= 1",
    default: 50,
    needs: "plant",
    help: "steps between looks at experiments with until",
    value: "N",
  },
} as const satisfies Options;

/** All experiments should be less than this share of the tokens. */
const SHARE = 0.02;

/** Experiments with their rows, and what is looked at of those that end by themselves. */
export interface ReadPlant {
  readonly plan: readonly Planted[];
  readonly experiments: readonly Experiment[];
  readonly probes: readonly (HeldOutGroup | undefined)[];
}

interface PlantOptions extends Values<typeof PLANT> {
  readonly columns?: string | undefined;
  readonly pack: boolean;
  readonly batch_size: number;
  readonly prompt_drop: number;
  readonly prompt_shuffle: number;
  readonly denoisers?: string | undefined;
  readonly chain_forward?: number | undefined;
}

/** Reads the plan and its rows; undefined without one. Throws UserError for options and models that it is not for. */
export async function readPlant(options: PlantOptions, opened: Opened): Promise<ReadPlant | undefined> {
  const { plant: file, columns } = options;
  if (file === undefined) return undefined;
  const { tools } = opened;
  if (!tools) throw new UserError("--plant puts rows of tokens among others, and this is a classifier", "leave it out");
  const other = Object.entries({
    "--pack": options.pack,
    "--prompt-drop": options.prompt_drop > 0,
    "--prompt-shuffle": options.prompt_shuffle > 0,
    "--denoisers": options.denoisers !== undefined,
    "--chain-forward": options.chain_forward !== undefined,
  }).find(([, isGiven]) => isGiven);
  if (other) throw new UserError(`--plant and ${other[0]} both say what becomes of a row`, "leave one of them out");
  const plan = await readPlan(file, columns);
  const experiments: Experiment[] = [];
  const probes: (HeldOutGroup | undefined)[] = [];
  for (const experiment of plan) {
    const { sequences } = await loadSequences([experiment.rows], tools.encode);
    experiments.push({ ...experiment, sequences });
    const probe = experiment.until === undefined ? [] : [experiment.probe];
    probes.push((await readHeldOut(probe, opened, options.batch_size))[0]);
  }
  return { plan, experiments, probes };
}

interface Told {
  warn(message: string): void;
  readonly log: Pick<Log, "event">;
}

/** What is planted in a training of so many batches; undefined where nothing is. Throws UserError. */
export function plantedWork(
  read: ReadPlant | undefined,
  model: Model,
  source: ReadRows,
  given: {
    readonly batches: number;
    readonly rows: number;
    readonly seed: number;
    readonly pad: number;
    readonly every: number;
  },
  { warn, log }: Told,
) {
  if (!read || !("data" in source) || read.experiments.every(({ times }) => times === 0)) return undefined;
  const { plan, experiments, probes } = read;
  const planting = new Planting(experiments, given);
  const tokens =
    source.data.groups.reduce((sum, group) => sum + group.tokens, 0) * (given.batches / source.batchesPerEpoch);
  const own = experiments.reduce(
    (sum, { times, sequences }) => sum + times * sequences.reduce((all, { ids }) => all + ids.length, 0),
    0,
  );
  if (own > SHARE * tokens)
    warn(
      `--plant: experiments are ${((100 * own) / tokens).toFixed(1)} % of the tokens; above ${100 * SHARE} % they may change the model as a whole`,
    );
  const watched = probes.flatMap((probe, i) => (probe ? [{ probe, i }] : []));
  const heldOut =
    watched.length > 0
      ? new HeldOut(
          model,
          watched.map(({ probe }) => probe),
        )
      : undefined;
  const controller: Controller = {
    name: "planting",
    due: (step) => step % given.every === 0 && watched.some(({ i }) => !planting.isOver(i)),
    async after(step) {
      const losses = (await heldOut?.losses()) ?? [];
      for (const [place, { i }] of watched.entries()) {
        const { loss } = losses[place]!;
        const { name, until } = plan[i]!;
        if (planting.isOver(i) || loss >= until!) continue;
        planting.end(i);
        log.event("planted", { step, experiment: name, loss, rows: planting.planted[i] });
      }
    },
    state: () => planting.state(),
    load: (state) => planting.load(state),
  };
  return {
    source: planting.in(source),
    controller,
    told: (): Record<string, number> =>
      Object.fromEntries(plan.map(({ name }, i) => [`planted.${name}`, planting.planted[i]!])),
    free: () => void heldOut?.free(),
  };
}
