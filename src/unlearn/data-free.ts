/** Unlearning without rows: what a method of this kind trains, from noise alone. */
import { UserError } from "../errors.ts";
import type { Bound } from "../method/bind.ts";
import { flagOf, type Values } from "../method/options.ts";
import type { Outcome } from "../run/command-context.ts";
import { type NoiseBatch, noiseSource } from "../run/denoising/noise-source.ts";
import { runTraining } from "../run/training/run-training.ts";
import type { RunContext } from "../run/training/technique.ts";
import type { UnlearnDataFree } from "./contract.ts";
import type { UNLEARN } from "./options.ts";

/** Options of rows and of terms over them. */
const OF_ROWS: ReadonlySet<string> = new Set([
  ...["forget", "retain", "forget_weight", "retain_weight", "retain_loss", "skip_tokens", "pd", "smooth"],
  ...["eval_data", "eval_split", "epochs"],
]);

/** Trains a method that reads no rows. Throws UserError for options of rows. */
export function trainDataFree(
  context: RunContext & { readonly args: readonly string[]; readonly options: Values<typeof UNLEARN> },
  { method, values }: Bound<UnlearnDataFree>,
): Promise<Outcome> {
  const { options, seed } = context;
  const [odd] = Object.entries(options).find(([name, value]) => OF_ROWS.has(name) && value !== undefined) ?? [];
  if (odd !== undefined)
    throw new UserError(`${flagOf(odd)} is of rows, and --method ${method.name} reads none`, "leave it out");
  if (options.steps === undefined)
    throw new UserError(`--method ${method.name} reads no rows, so no epoch says how long it trains`, "give --steps N");
  return runTraining<NoiseBatch>(context, {
    script: "unlearn",
    method: method.name,
    model: context.args[0] ?? "-",
    changed: method.changed?.(values),
    data: async (opened) => {
      method.check(values, opened);
      return { source: noiseSource(options.batch_size) };
    },
    work: (built) => method.work({ built, values, seed }),
  });
}
