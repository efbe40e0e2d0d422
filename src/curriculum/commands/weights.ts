/** `curriculum weights`: weighs rows so that they look like a pool, and writes them with their weights. */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { readJsonFile } from "../../data/files/jsonl.ts";
import { kindOf } from "../../data/row-fields.ts";
import { ROW_WEIGHT } from "../../data/row-weight.ts";
import { UserError } from "../../errors.ts";
import { isObject, type Json, type JsonObject } from "../../json.ts";
import { flagOf } from "../../method/options.ts";
import { discrepancy, dualWeights, effectiveSize, gapWeights, scaleFeatures } from "../kernel-balance.ts";
import type { WEIGHTS } from "../options.ts";

interface Read {
  readonly row: JsonObject;
  readonly place: string;
  readonly features: Float64Array;
}

/** All numbers of nested lists, in their order. Throws UserError for anything else, and for none. */
function numbersIn(value: Json | undefined, what: string): Float64Array {
  const found: number[] = [];
  const take = (one: Json | undefined): void => {
    if (Array.isArray(one)) for (const inner of one) take(inner);
    else if (typeof one === "number" && Number.isFinite(one)) found.push(one);
    else
      throw new UserError(`${what} should be numbers, in lists, found ${kindOf(one)}`, "--feature-key names another");
  };
  take(value);
  if (found.length === 0) throw new UserError(`${what} has no numbers`, "--feature-key names another key");
  return Float64Array.from(found);
}

/** Rows of files with their features, as many of each. Throws UserError, with a row's place. */
async function readAll(
  files: readonly string[] | undefined,
  flag: string,
  key: string,
  size?: number,
): Promise<Read[]> {
  if (!files || files.length === 0) throw new UserError(`${flag} is missing`, `give ${flag} FILE: lines of JSON`);
  const rows: Read[] = [];
  let wanted = size;
  for (const file of files)
    for await (const { value, place } of readJsonFile(file, { hint: "rows are objects, one a line", flag })) {
      if (!isObject(value)) throw new UserError(`${place}: expected an object, found ${kindOf(value)}`);
      const features = numbersIn(value[key], `${place}: ${key}`);
      wanted ??= features.length;
      if (features.length !== wanted)
        throw new UserError(`${place}: ${key} has ${features.length} numbers, and ${wanted} in other rows`);
      rows.push({ row: value, place, features });
    }
  if (rows.length === 0) throw new UserError(`${flag}: there are no rows`, "give some");
  return rows;
}

/** A number of every row. Throws UserError for a row that has none, or one below `least`. */
const numbersAt = (rows: readonly Read[], key: string, least: number): Float64Array =>
  Float64Array.from(rows, ({ row, place }) => {
    const value = row[key];
    if (typeof value === "number" && Number.isFinite(value) && value >= least) return value;
    const wanted = least === 0 ? "a number of at least 0" : "a number";
    throw new UserError(`${place}: ${key} should be ${wanted}, found ${kindOf(value)}`);
  });

/** Weights to begin with, of mean 1. Throws UserError where all are 0. */
function priorOf(rows: readonly Read[], key: string | undefined): Float64Array {
  const given = key === undefined ? new Float64Array(rows.length).fill(1) : numbersAt(rows, key, 0);
  const level = given.reduce((sum, x) => sum + x, 0) / rows.length;
  if (level === 0) throw new UserError(`${flagOf("prior_key")} ${key}: every weight is 0`, "leave it out");
  return given.map((x) => x / level);
}

export async function weights(context: Context<typeof WEIGHTS>): Promise<Outcome> {
  const { options, seed } = context;
  const { feature_key: key, anchors, loss_key, weigh_by: how } = options;
  if (anchors === "adaptive" && loss_key === undefined)
    throw new UserError("--anchors adaptive goes by the rows' losses", "name their key with --loss-key");
  const result = textResult(context, [...(options.data ?? []), ...(options.pool ?? [])]);
  const read = await readAll(options.data, "--data", key);
  const far = await readAll(options.pool, "--pool", key, read[0]!.features.length);
  const scaled = scaleFeatures(
    read.map(({ features }) => features),
    far.map(({ features }) => features),
  );
  const prior = priorOf(read, options.prior_key);
  const losses = loss_key === undefined ? undefined : numbersAt(read, loss_key, Number.NEGATIVE_INFINITY);
  if (context.dryRun) {
    context.print(`${read.length} rows, ${far.length} of the pool, ${read[0]!.features.length} features`);
    context.json({ rows: read.length, pool: far.length, features: read[0]!.features.length });
    return {};
  }
  const { kernel_gamma: kernelGamma, tolerance } = options;
  const settings = { kernelGamma, tolerance, anchors, count: options.anchor_count ?? (how === "dual" ? 16 : 3), seed };
  const sample = { ...scaled, prior, losses };
  const found =
    how === "dual"
      ? dualWeights(sample, settings)
      : gapWeights(sample, {
          ...settings,
          strength: options.gap_strength,
          steps: options.gap_steps,
          lr: options.gap_lr,
        });
  const apart = (own: Float64Array) => discrepancy(scaled.rows, own, scaled.pool, kernelGamma);
  const [before, after] = [apart(prior), apart(found)];
  const size = effectiveSize(found);
  context.info(
    `${read.length} rows are worth ${size.toFixed(1)} of equal weight; their discrepancy from the pool is ${after.toPrecision(3)}, ${before.toPrecision(3)} before`,
  );
  const lines = read.map(({ row }, i) => JSON.stringify({ ...row, [ROW_WEIGHT]: Number(found[i]!.toPrecision(7)) }));
  return result(lines.join("\n"), { rows: read.length, effective_rows: size, discrepancy: after, before });
}
