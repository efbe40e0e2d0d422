/** Exits in files: heads and gates of one setting or of several, and where they are. */
import type { Checkpoint, LineageEntry } from "../../checkpoint/checkpoint.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Model } from "../../model/model.ts";
import { expectParts, readParts } from "../parts-file.ts";
import { writeParts } from "../write-parts.ts";
import { type ExitPlan, Exits, READS } from "./exits.ts";

const KIND = "exits";
const MADE = "ingot train exits";

/** Exits that were trained with a weight of the cost. */
export interface WeighedExits {
  readonly lambda: number;
  readonly exits: Exits;
}

const under = (set: number, name: string): string => `${set}.${name}`;

/** Writes sets of one plan; gives the bytes. */
export async function writeExits(
  gpu: Gpu,
  sets: readonly WeighedExits[],
  to: { readonly out: string; readonly lineage: readonly LineageEntry[] },
): Promise<number> {
  const { at, widths, classes, costs } = sets[0]!.exits.plan;
  const parameters = sets.flatMap(({ exits }, set) =>
    exits.parameters().map(({ name, shape, buffer, size }) => ({ name: under(set, name), shape, buffer, size })),
  );
  const fixed = { at, widths, costs, classes: [classes], lambda: sets.map(({ lambda }) => lambda) };
  return writeParts(gpu, KIND, { parameters, fixed }, to);
}

/** Reads exits for a model. Throws UserError where the file is none, or they are another model's. */
export async function readExits(model: Model, checkpoint: Checkpoint): Promise<WeighedExits[]> {
  const stored = await readParts(checkpoint, KIND, MADE);
  const [at, widths, costs] = [stored.fixed("at"), stored.fixed("widths"), stored.fixed("costs")];
  const [classes = 0] = stored.fixed("classes");
  const { outputs, layers } = model.sizes;
  if (classes !== outputs || at.some((layer) => layer > layers))
    throw new UserError(
      `the exits of ${stored.ref} are at layers ${at.join(", ")} of a model of ${classes} classes, and this one has ${layers} layers and ${outputs} classes`,
      "name the model that they were trained on",
    );
  const plan: ExitPlan = { at, widths, costs, classes };
  return stored.fixed("lambda").map((single, set) => {
    const lambda = Number(single.toPrecision(6));
    const sizes = widths.flatMap((width, exit): [string, number][] => [
      [under(set, `heads.${exit}.weight`), width * classes],
      [under(set, `heads.${exit}.bias`), classes],
      [under(set, `gates.${exit}.weight`), READS],
      [under(set, `gates.${exit}.bias`), 1],
    ]);
    expectParts(stored, KIND, sizes);
    const values = new Map(sizes.map(([name]) => [name.slice(under(set, "").length), stored.values.get(name)!]));
    return { lambda, exits: Exits.of(model.gpu, plan, values) };
  });
}
