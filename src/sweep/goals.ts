/** What a sweep makes better: numbers of the JSON that trials print. */
import { UserError } from "../errors.ts";
import { isObject } from "../json.ts";
import { loadMethod, methodNames } from "../method/registry.ts";

/** A number by its path in an object, as `loss` or `held_out.loss`, and which of two is better. */
export interface Goal {
  readonly name: string;
  readonly better: "min" | "max";
}

/** Reads NAME, NAME:min or NAME:max. Throws UserError where it does not follow which is better. */
export async function goalOf(text: string): Promise<Goal> {
  const [, name = text, said] = /^(.*):(min|max)$/.exec(text) ?? [];
  if (name === "") throw new UserError(`--metric ${text} has no name`, "a key of what the script prints with --json");
  if (said !== undefined) return { name, better: said as Goal["better"] };
  const last = name.split("@")[0]!.split(".").at(-1)!.replaceAll("_", "-");
  if (/(^|-)(loss|perplexity)$/.test(last)) return { name, better: "min" };
  if (methodNames("metric").includes(last)) {
    const { better } = await loadMethod("metric", last);
    if (better === "lower" || better === "higher") return { name, better: better === "lower" ? "min" : "max" };
  }
  throw new UserError(`--metric ${name} does not say which of two is better`, `write ${name}:min or ${name}:max`);
}

const DEPTH = 4;

/** The numbers of an object by their paths; lists are left out. Not finite numbers are not there, as in JSON. */
function numbersIn(value: unknown, path = "", depth = 0): Record<string, number> {
  if (typeof value === "number" && path !== "") return { [path]: value };
  if (!isObject(value) || depth > DEPTH) return {};
  const join = (key: string) => (path === "" ? key : `${path}.${key}`);
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) => Object.entries(numbersIn(inner, join(key), depth + 1))),
  );
}

/** The numbers of what a script printed: those by their paths, and of an evaluation's rows METRIC@GROUP. */
export function metricsIn(value: unknown): Record<string, number> {
  const rows = isObject(value) && Array.isArray(value.rows) ? value.rows.filter(isObject) : [];
  const named = rows.flatMap(({ metric, group, value: own }) =>
    typeof metric === "string" && typeof group === "string" && typeof own === "number"
      ? [[`${metric}@${group}`, own]]
      : [],
  );
  return { ...numbersIn(value), ...Object.fromEntries(named) };
}

/** The same number turned so that more is better; -Infinity where it is not there. */
export const scoreOf = ({ better, name }: Goal, metrics: Readonly<Record<string, number>>): number => {
  const value = metrics[name];
  return value === undefined ? Number.NEGATIVE_INFINITY : better === "max" ? value : -value;
};
