/** `curriculum plan`: sizes of model and data from compute; needs no GPU. */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { planTraining } from "../compute-plan.ts";
import type { PLAN } from "../options.ts";

export async function plan(context: Context<typeof PLAN>): Promise<Outcome> {
  const result = textResult(context, []);
  const { flops, parameters, tokens, tokens_per_param, batch_size, max_length } = context.options;
  const found = planTraining({
    ...(flops === undefined ? {} : { flops }),
    ...(parameters === undefined ? {} : { parameters }),
    ...(tokens === undefined ? {} : { tokens }),
    tokensPerParameter: tokens_per_param,
    batchTokens: batch_size * (max_length ?? 1024),
  });
  context.log.event("result", { value: found });
  const { advice, ...numbers } = found;
  const text = [
    ...Object.entries(numbers)
      .filter(([name]) => name !== "epochs" || tokens !== undefined)
      .map(
        ([name, value]) =>
          `${name.replaceAll(/([A-Z])/g, " $1").toLowerCase()}: ${Number((value as number).toPrecision(6))}`,
      ),
    ...advice,
  ].join("\n");
  return result(context.options.json ? JSON.stringify(found, null, 2) : text, { ...found });
}
