/** What the stages of a plan take, as far as it is known before they run: steps, tokens and arithmetic. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { open } from "../../checkpoint/open.ts";
import { UserError } from "../../errors.ts";
import { isObject, parseJson } from "../../json.ts";
import type { PlannedStage } from "./plan.ts";
import { BUDGET_KEYS, type Budget } from "./stage-file.ts";

/** Undefined: not known before the stage runs, or the stage trains nothing (`trains`). */
export interface Cost {
  readonly trains: boolean;
  readonly steps?: number | undefined;
  /** At most; of a model without a vocabulary, rows. */
  readonly tokens?: number | undefined;
  /** 6 for each parameter and token. */
  readonly flops?: number | undefined;
}

/** Of a model on the disk; what a stage writes is taken to be as large as what it begins with. */
interface Size {
  readonly parameters: number;
  /** Longest row in tokens; undefined for a model without a vocabulary. */
  readonly positions: number | undefined;
}

const number = (value: unknown): number | undefined => (typeof value === "number" ? value : undefined);

async function sizeOf(reference: string): Promise<Size | undefined> {
  const model = await open(reference).catch(() => undefined);
  if (!model) return undefined;
  try {
    let parameters = 0;
    for (const { shape } of model.tensors.values()) parameters += shape.reduce((product, n) => product * n, 1);
    const file = join(reference, "config.json");
    const config = existsSync(file) ? parseJson(readFileSync(file, "utf8"), file).value : {};
    const isText = isObject(config) && typeof config.vocab_size === "number";
    return { parameters, positions: isText ? (number(config.max_position_embeddings) ?? 1024) : undefined };
  } finally {
    model.close();
  }
}

/** Rows of files of lines that are there; undefined where one is of another form. */
function rowsOf(files: readonly string[]): number | undefined {
  let rows = 0;
  for (const given of files) {
    const file = existsSync(given) ? given : given.slice(given.indexOf("=") + 1);
    if (!file.endsWith(".jsonl") || !existsSync(file) || !statSync(file).isFile()) return undefined;
    rows += readFileSync(file, "utf8").match(/^.*\S.*$/gm)?.length ?? 0;
  }
  return rows;
}

const texts = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((text): text is string => typeof text === "string") : [];

/** Steps of the optimizer that the options name. */
function stepsOf(values: Readonly<Record<string, unknown>>, rowsOfStep: number, isMade: boolean): number | undefined {
  if (typeof values.steps === "number") return values.steps;
  if (isMade || !("epochs" in values)) return undefined;
  const rows = rowsOf(texts(values.data));
  return rows === undefined ? undefined : Math.ceil((rows * (number(values.epochs) ?? 1)) / rowsOfStep);
}

/** Costs of the stages, in their order. */
export async function costsOf(stages: readonly PlannedStage[]): Promise<Cost[]> {
  const sizes = new Map<string, Size | undefined>();
  const costs: Cost[] = [];
  for (const { understood, after, folder, makes } of stages) {
    const values = understood?.values ?? {};
    const reference = understood?.args[0] ?? values.student ?? values.model;
    const from = typeof reference === "string" ? reference.replace(/(?<=.)\/+$/, "") : undefined;
    const size = from === undefined ? undefined : sizes.has(from) ? sizes.get(from) : await sizeOf(from);
    if (understood?.output === "checkpoint") sizes.set(join(folder, makes), size);
    if (!("optimizer" in values)) {
      costs.push({ trains: false });
      continue;
    }
    const rows = (number(values.batch_size) ?? 1) * (number(values.accumulate) ?? 1);
    const isMade = texts(values.data).some((data) => after.length > 0 && rowsOf([data]) === undefined);
    const steps = stepsOf(values, rows, isMade);
    const length =
      size && (size.positions === undefined ? 1 : (number(values.max_length) ?? Math.min(1024, size.positions)));
    const tokens = steps === undefined || length === undefined ? undefined : steps * rows * length;
    costs.push({
      trains: true,
      steps,
      tokens,
      flops: tokens === undefined ? undefined : 6 * size!.parameters * tokens,
    });
  }
  return costs;
}

/** Sums of what is known. */
export const totalOf = (costs: readonly Cost[]): Required<Budget> => ({
  steps: costs.reduce((sum, { steps = 0 }) => sum + steps, 0),
  tokens: costs.reduce((sum, { tokens = 0 }) => sum + tokens, 0),
  flops: costs.reduce((sum, { flops = 0 }) => sum + flops, 0),
});

/** Throws UserError where a plan takes more than its budget, or it cannot be said. */
export function checkBudget(budget: Budget, stages: readonly PlannedStage[], costs: readonly Cost[]): void {
  const total = totalOf(costs);
  for (const key of BUDGET_KEYS) {
    const most = budget[key];
    if (most === undefined) continue;
    const unknown = costs.findIndex((cost) => cost.trains && cost[key] === undefined);
    if (unknown >= 0)
      throw new UserError(
        `the budget is ${most} ${key}, and what stage ${stages[unknown]!.name} takes is not known before it runs`,
        key === "steps" ? "give it --steps" : "give it --steps and a model on the disk",
      );
    if (total[key] > most)
      throw new UserError(
        `the stages take ${total[key]} ${key}, more than the budget of ${most}`,
        `${costs.map((cost, i) => `${stages[i]!.name} ${cost[key] ?? 0}`).join(", ")}`,
      );
  }
}
