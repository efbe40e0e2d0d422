/** `adapt select`: which values to trust in new environments, told from unlabelled statistics of each. */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { readJsonFile } from "../../data/files/jsonl.ts";
import { UserError } from "../../errors.ts";
import { isObject } from "../../json.ts";
import { table } from "../../text/table.ts";
import { type Environment, learnSelector, mixed, predictions, riskOf, weightsIn } from "../environments/selector.ts";
import type { SELECT } from "../options.ts";

const HINT = 'for example {"x": [0.3, 1.2], "y": 0.7, "environment": "e1"}';

/** Environments in the order in which they come. Throws UserError for rows of another kind. */
async function environmentsOf(file: string, labelled: boolean): Promise<Environment[]> {
  const found = new Map<string, { x: number[][]; y: number[] }>();
  let width: number | undefined;
  for await (const { value, place } of readJsonFile(file, { hint: HINT })) {
    const { x, y, environment } = isObject(value) ? value : {};
    if (!Array.isArray(x) || x.length === 0 || !x.every((v) => typeof v === "number"))
      throw new UserError(`${place}: x is no list of numbers`, HINT);
    if (typeof environment !== "string" && typeof environment !== "number")
      throw new UserError(`${place}: the row says no environment`, HINT);
    if (y !== undefined && typeof y !== "number") throw new UserError(`${place}: y is no number`, HINT);
    if (labelled && y === undefined) throw new UserError(`${place}: the row has no y to learn from`, HINT);
    width ??= x.length;
    if (x.length !== width) throw new UserError(`${place}: ${x.length} values, and the first row has ${width}`, HINT);
    const own = found.get(String(environment)) ?? { x: [], y: [] };
    own.x.push(x);
    if (typeof y === "number") own.y.push(y);
    found.set(String(environment), own);
  }
  for (const [name, { x, y }] of found)
    if (y.length > 0 && y.length < x.length)
      throw new UserError(`${file}: some rows of the environment ${name} have no y`, "give all of them, or none");
  return [...found].map(([name, rows]) => ({ name, ...rows }));
}

/** Candidate sets. Throws UserError for what is no list of places, and for places that rows lack. */
function setsOf(asked: readonly string[] | undefined, width: number): number[][] {
  if (!asked) {
    if (width > 5)
      throw new UserError(
        `${width} values have ${2 ** width - 1} sets, and at most 31 are tried unasked`,
        "name some: --sets 0 --sets 0,1",
      );
    const masks = Array.from({ length: 2 ** width - 1 }, (_, i) => i + 1);
    return masks.map((mask) => Array.from({ length: width }, (_, j) => j).filter((j) => mask & (1 << j)));
  }
  const sets = asked.map((text) => {
    const places = text.split(",").map(Number);
    const wrong = places.find((place) => !Number.isInteger(place) || place < 0 || place >= width);
    if (wrong !== undefined || new Set(places).size < places.length)
      throw new UserError(`--sets ${text} are not places of values, from 0 to ${width - 1}`, "for example --sets 0,1");
    return places;
  });
  const twice = sets.findIndex((set, i) =>
    sets.slice(0, i).some((other) => other.toSorted().join() === set.toSorted().join()),
  );
  if (twice >= 0) throw new UserError(`--sets ${asked[twice]} is given twice`, "give it once");
  return sets;
}

/** Runs the sub-command. */
export async function select(context: Context<typeof SELECT>): Promise<Outcome> {
  const { options, args } = context;
  const [file = "-"] = args;
  const result = textResult(context, [file, options.test]);
  const [known, fresh] = [await environmentsOf(file, true), await environmentsOf(options.test, false)];
  const width = known[0]?.x[0]?.length ?? 0;
  if (known.length < 2)
    throw new UserError(`${file} has ${known.length} environments, and a selector learns from two or more`, HINT);
  if (fresh.length === 0) throw new UserError(`${options.test} has no rows`, HINT);
  if (fresh[0]!.x[0]!.length !== width)
    throw new UserError(`rows of ${options.test} have ${fresh[0]!.x[0]!.length} values, those of ${file} ${width}`);
  const sets = setsOf(options.sets, width);
  const { gate, ridge, decay } = options;
  const selector = learnSelector(known, { sets, gate, ridge, decay });
  const names = sets.map((set) => set.join(","));
  const found = fresh.map(({ name, x, y }) => {
    const weights = weightsIn(selector, x);
    const by = predictions(selector, x);
    const best = weights.indexOf(Math.max(...weights));
    const answers = options.soft ? mixed(weights, by) : by[best]!;
    const isKnown = y.length > 0;
    return {
      ...{ environment: name, rows: x.length, set: names[best]!, weights },
      risk: isKnown ? riskOf(answers, y) : undefined,
      risks: isKnown ? by.map((one) => riskOf(one, y)) : undefined,
    };
  });
  const cell = (value: number | undefined) => (value === undefined ? "-" : value.toFixed(4));
  const lines = [
    ["environment", "rows", "set", "risk", ...names.map((name) => `risk of ${name}`)],
    ...found.map(({ environment, rows, set, risk, risks }) => [
      ...[environment, String(rows), set, cell(risk)],
      ...names.map((_, j) => cell(risks?.[j])),
    ]),
  ];
  context.info(`${known.length} environments, ${sets.length} sets of values, ${fresh.length} new environments`);
  const told = { sets: names, environments: found };
  if (context.out === "-" && !options.json) return result(table(lines, { align: "lrlr" }), told);
  if (!options.json) context.print(table(lines, { align: "lrlr" }));
  return result(JSON.stringify({ ...told, selector }, null, 2), told);
}
