/** What changes the rows of a batch in a curriculum of images, and what follows the training for that. */
import { UserError } from "../errors.ts";
import type { Bound } from "../method/bind.ts";
import type { CommandContext } from "../run/command-context.ts";
import type { Controller } from "../run/training/controller.ts";
import type { HeldOutGroup } from "../run/training/held-out.ts";
import type { Built } from "../run/training/technique.ts";
import type { OrderingMethod } from "./contract.ts";
import { imageView } from "./image-view.ts";
import { AugmentationLearner } from "./learned-augmenting/learner.ts";
import type { ChangeRows, Rows } from "./source.ts";

export interface RowChangeOptions {
  readonly ordering: Bound<OrderingMethod>;
  readonly rows: Rows;
  /** For orderings that go by held-out rows. */
  readonly aims: readonly HeldOutGroup[];
  readonly built: Pick<Built, "model" | "ref" | "steps">;
  readonly accumulate: number;
  readonly batchSize: number;
  readonly seed: number;
  readonly context: Pick<CommandContext, "log">;
}

export interface RowChanges {
  readonly change?: ChangeRows | undefined;
  readonly controllers: readonly Controller[];
  free(): Promise<void>;
}

/** Throws UserError for models and options that do not fit. */
export function rowChanges(given: RowChangeOptions): RowChanges {
  const { ordering, rows, aims, built, accumulate, batchSize, seed, context } = given;
  const { method, values } = ordering;
  const { model, ref, steps } = built;
  const batches = steps * accumulate;
  if (!method.augments) {
    const change = imageView({ ordering, sizes: model.sizes, ref, batches, seed, context });
    return { change, controllers: [], free: async () => {} };
  }
  const examples = rows.items.flatMap((item) => ("ids" in item ? [] : [item]));
  if (examples.length === 0)
    throw new UserError(`${method.name} augments images, and ${ref} reads text`, "leave it out");
  const held = aims.flatMap((group) => group.batches);
  const settings = method.augments(values);
  const learner = new AugmentationLearner({
    ...{ settings, model, examples, held, batchSize, steps, batches, seed, context },
  });
  return {
    change: (items, batch) => learner.change(items, batch),
    controllers: [learner],
    free: () => learner.free(),
  };
}
