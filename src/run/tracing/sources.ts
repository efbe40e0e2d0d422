/**
 * Sources of a classifier's input, such as two instruments or two feature groups: ranges of its numbers. And what each
 * of them has of the logits, by leaving sources out: Shapley values with zeros in place of a source, of which nothing
 * at all counts as 0.
 *
 *   phi_m = sum over sets S without m of |S|! (M - |S| - 1)! / M! (f(S and m) - f(S)),  f(nothing) = 0
 *   sum_m phi_m = f
 *
 * Of two: phi_a = (f(a, v) - f(0, v) + f(a, 0)) / 2. Li et al., ICCV 2023, https://arxiv.org/abs/2308.07686
 */
import { UserError } from "../../errors.ts";
import { add, mul, scale } from "../../tensor/ops/elementwise.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { sizeOf, type Tensor } from "../../tensor/tensor.ts";

/** Most sources: each has a pass for every set of the others. */
export const MOST_SOURCES = 4;

export interface Source {
  readonly name: string;
  /** Its first and last number of a row, from 0. */
  readonly first: number;
  readonly last: number;
}

/**
 * Reads NAME=FIRST-LAST or NAME=FIRST each, numbers of a row from 0. Throws UserError unless each of the `size` numbers
 * is of one source, and there are 2 to `MOST_SOURCES` of them.
 */
export function parseSources(given: readonly string[], size: number, flag: string): Source[] {
  const listed = given.flatMap((text) => text.split(","));
  const sources = listed.map((text) => {
    const [, name, first, last] = /^([^=]+)=(\d+)(?:-(\d+))?$/.exec(text) ?? [];
    if (name === undefined || first === undefined)
      throw new UserError(
        `${flag} takes NAME=FIRST-LAST, numbers of a row from 0, found ${text}`,
        `${flag} a=0-3,b=4-7`,
      );
    return { name, first: Number(first), last: Number(last ?? first) };
  });
  const twin = sources.find(({ name }, i) => sources.findIndex((other) => other.name === name) !== i);
  if (twin) throw new UserError(`two of ${flag} are named ${twin.name}`);
  if (sources.length < 2 || sources.length > MOST_SOURCES)
    throw new UserError(`${flag} takes 2 to ${MOST_SOURCES} sources, found ${sources.length}`);
  const owners = Array.from({ length: size }, (_, at) =>
    sources.filter(({ first, last }) => first <= at && at <= last),
  );
  const odd = owners.findIndex((own) => own.length !== 1);
  const out = sources.find(({ first, last }) => last >= size || last < first);
  if (out) throw new UserError(`${flag} ${out.name}=${out.first}-${out.last}: a row has the numbers 0 to ${size - 1}`);
  if (odd >= 0)
    throw new UserError(
      `number ${odd} of a row is of ${owners[odd]!.length === 0 ? "no source" : "several sources"}`,
      `${flag} takes all numbers of a row apart`,
    );
  return sources;
}

/** What a set without a source counts in its share: |S|! (M - |S| - 1)! / M!. */
function weightOf(size: number, count: number): number {
  const factorial = (n: number): number => (n < 2 ? 1 : n * factorial(n - 1));
  return (factorial(size) * factorial(count - size - 1)) / factorial(count);
}

/** x (B, ...) with zeros in the place of all sources but those of `kept`, bits by their places. */
export function keptSources(rec: Recorder, x: Tensor, sources: readonly Source[], kept: number): Tensor {
  const batch = x.shape[0]!;
  const size = sizeOf(x.shape) / batch;
  const mask = new Float32Array(size);
  for (const [i, { first, last }] of sources.entries()) if ((kept >> i) & 1) mask.fill(1, first, last + 1);
  const masked = mul(rec, rec.reshape(x, [batch, size]), rec.constant(mask, [1, size], `sources ${kept}`));
  return rec.reshape(masked, x.shape);
}

/**
 * The shares of the sources, each as logits (B, V). `whole` is f of all of them; `of` gives f of a set of sources, bits
 * by their places, and is asked for each set that is neither all nor nothing.
 */
export function sourceShares(rec: Recorder, count: number, whole: Tensor, of: (kept: number) => Tensor): Tensor[] {
  const all = 2 ** count - 1;
  const outputs = Array.from({ length: all }, (_, i) => (i + 1 === all ? whole : of(i + 1)));
  return Array.from({ length: count }, (_, m) => {
    const terms = outputs.map((f, i) => {
      const kept = i + 1;
      const size = kept.toString(2).replaceAll("0", "").length;
      const has = (kept >> m) & 1;
      return scale(rec, f, has ? weightOf(size - 1, count) : -weightOf(size, count));
    });
    return terms.reduce((a, b) => add(rec, a, b));
  });
}
