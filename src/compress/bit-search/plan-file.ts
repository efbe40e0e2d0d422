/** Files that say how many bits each matrix has: what `compress search` writes and `--plan` reads. */
import { UserError } from "../../errors.ts";
import { isObject, parseJson } from "../../json.ts";
import type { Target } from "../matrices.ts";

/** Bits by the name of the matrix. */
export type BitPlan = ReadonlyMap<string, number>;

/** Throws UserError for a file that is no plan. */
export async function readPlan(path: string): Promise<BitPlan> {
  const file = Bun.file(path);
  if (!(await file.exists())) throw new UserError(`--plan ${path}: no such file`, "compress search writes one");
  const { value } = parseJson(await file.text(), `--plan ${path}`);
  const bits = isObject(value) ? value.bits : undefined;
  if (!isObject(bits)) throw new UserError(`--plan ${path} has no bits`, "it is to be what compress search writes");
  return new Map(
    Object.entries(bits).map(([name, own]) => {
      if (typeof own === "number" && Number.isInteger(own) && own >= 2 && own <= 8) return [name, own];
      throw new UserError(`--plan ${path}: bits of ${name} are ${JSON.stringify(own)}`, "expected 2 to 8");
    }),
  );
}

/** Throws UserError for a plan of another model. */
export function checkPlan(plan: BitPlan, targets: readonly Target[]): void {
  const names = new Set(targets.map(({ stored }) => stored.name));
  const odd = [...plan.keys()].find((name) => !names.has(name));
  if (odd !== undefined)
    throw new UserError(
      `--plan has bits for ${odd}, which is no matrix that is changed here`,
      "is it the plan of another model, or do --only and --ignore differ?",
    );
}
