/** `curriculum plan`: sizes of model and data from compute, and losses to expect of a longer run; needs no GPU. */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { withSnakeKeys } from "../../json.ts";
import { forecast, type Plan, planTraining } from "../compute-plan.ts";
import { readLosses } from "../loss-log.ts";
import type { PLAN } from "../options.ts";

type PlanOptions = Context<typeof PLAN>["options"];

/** Steps after those of a run that its loss is forecast at when none are asked for, as multiples of its length. */
const AHEAD = [2, 4, 10];

/** The law of a log's losses, and what it says of other steps. */
function forecastOf(file: string, { at }: PlanOptions, steps: number | undefined) {
  const { of, points } = readLosses(file);
  const last = points.at(-1)![0];
  const asked = at ?? (steps === undefined ? AHEAD.map((times) => times * last) : [steps]);
  const { law, losses } = forecast(points, asked);
  return { of, points: points.length, law, losses: asked.map((step, i) => ({ step, loss: losses[i]! })) };
}

const short = (value: number): number => Number(value.toPrecision(6));

/** The numbers of a plan in words, one a line. */
const linesOf = ({ advice, ...numbers }: Plan, isCounted: boolean): string[] => [
  ...Object.entries(numbers)
    .filter(([name]) => name !== "epochs" || isCounted)
    .map(([name, value]) => `${name.replaceAll(/([A-Z])/g, " $1").toLowerCase()}: ${short(value)}`),
  ...advice,
];

export async function plan(context: Context<typeof PLAN>): Promise<Outcome> {
  const { options } = context;
  const result = textResult(context, options.fit === undefined ? [] : [options.fit]);
  const { flops, parameters, tokens, tokens_per_param, batch_size, max_length } = options;
  const isSized = flops !== undefined || parameters !== undefined || options.fit === undefined;
  const sizes = isSized
    ? planTraining({
        ...(flops === undefined ? {} : { flops }),
        ...(parameters === undefined ? {} : { parameters }),
        ...(tokens === undefined ? {} : { tokens }),
        tokensPerParameter: tokens_per_param,
        batchTokens: batch_size * (max_length ?? 1024),
      })
    : undefined;
  const expected = options.fit === undefined ? undefined : forecastOf(options.fit, options, sizes?.steps);
  const found = { ...sizes, ...(expected ? { forecast: expected } : {}) };
  const json = withSnakeKeys(found);
  context.log.event("result", { value: json });
  const lines = sizes ? linesOf(sizes, tokens !== undefined) : [];
  if (expected) {
    const { floor, scale, exponent } = expected.law;
    lines.push(`${expected.of}: ${short(floor)} + ${short(scale)} step^-${short(exponent)}`);
    for (const { step, loss } of expected.losses) lines.push(`${expected.of} at step ${short(step)}: ${short(loss)}`);
  }
  return result(options.json ? JSON.stringify(json, null, 2) : lines.join("\n"), json);
}
