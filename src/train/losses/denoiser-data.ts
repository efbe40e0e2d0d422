/** Which losses, models and options go together where a denoiser is trained, and its held-out rows. */
import { type Batch, stackExamples } from "../../data/batch.ts";
import { loadExamples } from "../../data/examples.ts";
import { UserError } from "../../errors.ts";
import type { Bound } from "../../method/bind.ts";
import type { Values } from "../../method/options.ts";
import { heldOutGroups } from "../../run/training/held-out.ts";
import type { HeldOutBatches } from "../../run/training/held-out-objective.ts";
import type { LabelLoss } from "../../run/training/label-loss.ts";
import type { Opened } from "../../run/training/technique.ts";
import type { TRAIN } from "../options.ts";

/** Throws UserError for a loss of denoisers on another model, another loss on one, and options that do not go along. */
export function checkDenoiser(
  { method }: Pick<Bound<LabelLoss>, "method">,
  { task, ref, architecture }: Pick<Opened, "task" | "ref" | "architecture">,
  options: Values<typeof TRAIN>,
): void {
  if (!method.denoises) {
    if (task !== "denoiser") return;
    throw new UserError(
      `--loss ${method.name} is no loss of denoisers, and ${ref} is one`,
      "--loss denoise trains it, --loss ict makes it a generator of one step",
    );
  }
  if (task !== "denoiser")
    throw new UserError(
      `--loss ${method.name} trains denoisers, and ${ref} is a ${architecture.name}`,
      "bun run train --init CONFIG makes one, with model_type denoiser",
    );
  const odd = [
    options.adversarial && "--adversarial",
    options.prequential && "--prequential",
    options.private_head !== undefined && "--private-head",
    options.plant !== undefined && "--plant",
    options.schedule_search && "--schedule-search",
  ].find((flag) => flag);
  if (odd) throw new UserError(`${odd} is for models that predict, and ${ref} is a denoiser`, "leave it out");
}

/** Held-out rows, which the loss itself is measured on; undefined where there are none. */
export async function heldOutRows(
  options: Values<typeof TRAIN>,
  { examples, split }: Opened,
): Promise<readonly HeldOutBatches<Batch>[] | undefined> {
  const groups = heldOutGroups(options, split);
  if (groups.length === 0) return undefined;
  const found = await loadExamples(groups, examples);
  return groups.map(({ name }, group) => {
    const own = found.filter((example) => example.group === group);
    const batches: Batch[] = [];
    for (let from = 0; from < own.length; from += options.batch_size)
      batches.push(stackExamples(own.slice(from, from + options.batch_size)));
    return { name, rows: own.length, batches };
  });
}
