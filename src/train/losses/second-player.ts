/**
 * A second player of a training: some weights that its own part of the objective moves, by an AdamW of its own, before
 * the gradient of the other part is made. The optimizer of the training moves all other weights by that one alone.
 */
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { UpdateRule } from "../../run/training/update-rule.ts";
import { Updater } from "../../run/training/updater.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { besideBy } from "../adamw.ts";

export interface SecondPlayerOptions {
  /** What it moves. */
  readonly moves: readonly Parameter[];
  /** The parts of the objective: its own, and that of all other weights. */
  readonly own: string;
  readonly other: string;
  readonly rate: number;
  readonly seed: number;
}

/** Its rule. Memory: two moments of its weights. */
export async function secondPlayer(
  gpu: Gpu,
  { moves, own, other, rate, seed }: SecondPlayerOptions,
): Promise<UpdateRule> {
  const optimizer = besideBy({ beta2: 0.999, weight_decay: 0 });
  const updater = await Updater.make(gpu, moves, { optimizer, decays: () => false, clip: 0 });
  let lost: number | undefined;
  return {
    name: "second player",
    moves,
    async combine(step, _parts, pass) {
      if (lost !== undefined)
        throw new UserError(
          `the gradient of the ${own} player is not finite in step ${lost}`,
          "lower its weight or its rate",
        );
      await pass(own, { fresh: true, report: true });
      const { norm } = await updater.begin(step, rate, seed);
      void norm.then((found) => {
        if (!Number.isFinite(found)) lost ??= step;
      });
      await pass(other, { fresh: true, report: true });
    },
    tensors: () => updater.allStates(),
    bytes: updater.bytes,
    free: () => updater.free(),
  };
}
